"""The JSON of a telegram, as outputs keep it."""

import tracemalloc

from smarty_gateway.outputs.json_lines import to_json_bytes


def test_json_text_that_is_kept_takes_little_more_memory_than_its_bytes() -> None:
    record = {f"value_{number}": number * 1.5 for number in range(50)}
    to_json_bytes(record)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        kept = [to_json_bytes(record) for _ in range(100)]
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 100 * (len(kept[0]) + 200)
