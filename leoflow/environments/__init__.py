"""The interpreters user code runs in: built with uv, cached by content, shared between equal projects."""
