"""What the health of a meter says, and to whom."""

from smarty_gateway.outputs.output import Health


def test_the_health_on_mqtt_is_the_same_whether_the_page_knows_more() -> None:
    object_of = Health(telegrams=1, is_connected=True).as_object()
    assert list(object_of) == [
        "telegrams", "rejected", "noise_bytes", "counter_gaps", "duplicates", "elsewhere", "reconnects",
        "downgraded", "last_telegram",
    ]  # fmt: skip
