"""The order in which an edge tries the nodes."""

from smarty_gateway.config.consumers import ForwardNode
from smarty_gateway.outputs.forward.nodes import Nodes


def test_edges_of_a_node_that_fails_spread_over_all_others() -> None:
    known = [ForwardNode(name, 8883, tls=True, user=None) for name in "abc"]
    ways = set()
    for _ in range(300):  # a way is missing once in 10^23 times
        nodes = Nodes(known)
        first = nodes.current.host
        nodes.next_after_failure()
        ways.add(first + nodes.current.host)
    assert ways == {"ab", "ac", "ba", "bc", "ca", "cb"}
