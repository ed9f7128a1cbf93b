"""Fresh interpreters: their time, their memory, and their failures."""

import pytest

from bench import interpreters
from bench.processes import CannotMeasure

WAITS = ("-c", "import time; time.sleep(0.2)")


class TestInterpreters:
    def test_each_command_is_run_as_often_as_asked(self) -> None:
        """Waiting is wall clock and no CPU; the run that compiles does not count."""
        waiting, bare = interpreters.in_turns(WAITS, interpreters.BARE, times=2)
        assert len(waiting.runs) == len(bare.runs) == 2
        assert waiting.least_wall_ms > 200
        assert waiting.wall_ms - waiting.cpu_ms > 100
        assert bare.cpu_ms > 0

    def test_a_program_that_fails_is_no_figure(self) -> None:
        """Its last words are the reason."""
        with pytest.raises(CannotMeasure, match=r"ended with 1: out of luck"):
            interpreters.in_turns(("-c", "import sys; sys.exit('out of luck')"), times=1)
        with pytest.raises(CannotMeasure, match="no_such_module"):
            interpreters.rss_mb("import no_such_module")

    def test_memory_is_the_interpreters_own(self) -> None:
        """64 MB more are 64 MB more, and the memory of whoever asks does not count."""
        ballast = bytearray(64 << 20)
        bare = interpreters.rss_mb("pass")
        assert 60 < interpreters.rss_mb("ballast = b'x' * (64 << 20)") - bare < 80
        assert bare < len(ballast) / 2**20
