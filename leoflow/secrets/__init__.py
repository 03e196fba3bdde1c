"""How connections and variables lie in the database: sealed. May import `leoflow.crypto` and `leoflow.db`.

A variable's value is sealed, and a connection as a whole: host, login, schema, port, password and extra are one sealed
document. What stays readable is what people find things by: ids, the connection's type, descriptions, times.
"""
