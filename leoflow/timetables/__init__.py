"""When a DAG's next run is due: Airflow's timetables, computed from the `schedule` of a dag.json.

Pure functions of their arguments: the caller passes the time (the database's) and the last scheduled interval.
May import nothing of Leoflow but `leoflow.errors`.
"""

from leoflow.timetables.base import DataInterval, Restriction, RunInfo, Timetable
from leoflow.timetables.ranges import runs_between
from leoflow.timetables.spec import timetable_of

__all__ = ["DataInterval", "Restriction", "RunInfo", "Timetable", "runs_between", "timetable_of"]
