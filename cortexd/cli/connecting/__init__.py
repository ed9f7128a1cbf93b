"""Other programs' settings files: what `cortexctl connect` puts into them and `disconnect` takes out again."""
