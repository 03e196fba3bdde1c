"""What runs beside user code, in the project's own interpreter.

Stands alone: imports the standard library and the Task SDK, nothing else of Leoflow. Started through
`bootstrap.py`, which makes this package importable without exposing the control plane's dependencies.
"""
