drop table leoflow_core.timetable_question;
