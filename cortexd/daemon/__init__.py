"""The daemon as a process: start-up, main loop, reload, idle exit, shut-down."""
