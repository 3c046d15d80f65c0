"""Labels: what the values are called where people read them."""

import pytest

from smarty_gateway.outputs.labels import label_of
from smarty_gateway.protocol.obis import BY_NAME


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("energy_import_tariff_1", "Energy import tariff 1"),
        ("power_import_l2", "Power import L2"),
        ("reactive_power_q4", "Reactive power Q4"),
        ("relay_3_state", "Relay 3"),
        ("demand_import", "Average demand"),
        ("demand_export_last", "Last average demand export"),
        ("apparent_demand_import_last", "Last apparent demand import"),
        ("fuse_threshold_l3", "Fuse limit L3"),
        ("gas_2", "Gas 2"),
    ],
)
def test_a_label_is_the_name_in_words(name: str, label: str) -> None:
    assert label_of(name) == label


def test_no_two_values_share_a_label() -> None:
    labels = [label_of(name) for name in BY_NAME]
    assert len(labels) == len(set(labels))


def test_a_label_leaves_room_for_a_value_on_a_narrow_terminal() -> None:
    assert max(len(label_of(name)) for name in BY_NAME) <= 32
