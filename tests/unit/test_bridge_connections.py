"""The bridge's connections to the service: one for each request, kept for the next ones."""

from contextlib import AsyncExitStack

from cortexd.bridge.connections import Connections
from tests.eventually import assert_eventually_async


class TestConnections:
    async def test_one_for_each_request(self) -> None:
        """Nobody's is another's meanwhile; one that is free is used again."""
        connections = Connections("unix:path=/nowhere")
        async with connections.one() as first, connections.one() as second:
            assert first is not second
        async with connections.one() as third, connections.one() as fourth:
            assert {third, fourth} == {first, second}
        await connections.close()
        assert connections.kept == 0

    async def test_a_burst_is_kept_for_a_while(self) -> None:
        """What came at once may come again; those that nobody needs are closed, but for a few."""
        connections = Connections("unix:path=/nowhere", rest_s=0.0)
        async with AsyncExitStack() as stack:
            for _ in range(30):
                await stack.enter_async_context(connections.one())
            assert connections.kept == 0
        assert connections.kept == 30
        await assert_eventually_async(lambda: connections.kept == 4)
        await connections.close()
