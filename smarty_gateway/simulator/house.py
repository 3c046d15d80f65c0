"""A house with solar panels, a heat pump and a car on any day of any year, for histories that look real.

The live simulator's `Household` has the same day for ever, because its registers must be a function of the
second. Here every day differs: season, weather, weekday, holidays. A day depends on the seed and its date
alone. Everything is computed in integers, so that it is the same on every machine.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Final

#: Seconds and minutes of a slot, in which the power is constant.
SLOT: Final = 300
_MINUTES: Final = SLOT // 60
_SLOTS: Final = 86_400 // SLOT
_HOUR: Final = 3_600 // SLOT
#: Fractions are in thousandths.
_ONE: Final = 1_000
#: Minutes after midnight UTC at which the sun is highest in Luxembourg (6.1° E).
_NOON: Final = 696
#: The weather changes slowly: it is drawn for every fourth day, and lies on a line in between.
_WEATHER_DAYS: Final = 4
#: Tenths of a degree below which the heat pump heats.
_HEATING_LIMIT: Final = 155
#: How much of a day's heating falls into each hour: most in the morning and the evening.
_HEATING: Final = (2, 2, 2, 2, 3, 6, 8, 8, 6, 4, 3, 3, 2, 2, 2, 3, 5, 6, 7, 7, 6, 5, 3, 3)
#: Watt-hours a day for each tenth of a degree: 150 W per degree of heat loss, 3.3 times what is drawn.
_HEATING_PER_TENTH: Final = 110
_EARLY: Final = 180

#: A load: the minute of the day at which it begins, for how many minutes, its power in W.
_Load = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Day:
    """What a house draws on one local day, which has 23, 24 or 25 hours.

    Attributes:
        powers: in W in each slot; below zero it flows to the grid.
        gas: litres in each hour.
        water: likewise.
    """

    powers: list[int]
    gas: list[int]
    water: list[int]


class House:
    """One house.

    Args:
        seed: the same text gives the same house, on every machine.
    """

    def __init__(self, seed: str) -> None:
        rng = random.Random(seed)  # noqa: S311 - a house, not a secret
        self._seed = seed
        self._base = rng.randrange(170, 280)
        self._solar_peak = rng.randrange(6_000, 9_000)
        self._heat_pump = rng.randrange(2_000, 2_700)
        self._car = rng.choice((7_400, 11_000))
        self._holidays = lru_cache(self._draw_holidays)
        self._weather_of = lru_cache(self._draw_weather)

    def day(self, day: date, begin: int, slots: int) -> Day:
        """Return what the house draws on a local day.

        Args:
            day: its date.
            begin: local midnight, in seconds since 1970.
            slots: from this midnight to the next; not 288 on the days on which the clock is changed.
        """
        rng = self._drawn("day", day)
        season = _season(day)
        warmth, clearness = self._weather(rng, day, season)
        is_away = day.timetuple().tm_yday in self._holidays(day.year)
        noise = rng.randbytes(slots)
        powers = [self._base + (70 if slot % 9 < 4 else 0) for slot in range(slots)]  # with the fridge
        loads = [*self._heating(rng, warmth, is_away=is_away)]
        if not is_away:
            loads += _appliances(rng, is_weekend=day.weekday() >= 5)
        for load in loads:
            _add(powers, load)
        powers = [power + power * (part - 128) // 1024 for power, part in zip(powers, noise, strict=True)]
        for load in () if is_away else self._charging(rng, day):
            _add(powers, load)  # a car draws the same all the time
        noon = (_midnight(day) - begin) // 60 + _NOON
        self._subtract_sun(powers, noon, season, clearness, noise)
        hours = slots // _HOUR
        return Day(powers, _gas(rng, hours, warmth, is_away=is_away), _water(rng, hours, is_away=is_away))

    def gap(self, day: date) -> range | None:
        """Return the quarter hours, from midnight on, of a time for which the gateway was away."""
        rng = self._drawn("gap", day)
        if rng.randrange(15):
            return None
        first = rng.randrange(96)
        return range(first, first + rng.randrange(1, 40))

    def _drawn(self, what: str, key: object) -> random.Random:
        return random.Random(f"{self._seed} {what} {key}")  # noqa: S311 - a house, not a secret

    def _draw_holidays(self, year: int) -> set[int]:
        """Return the days of a year on which nobody is at home."""
        rng = self._drawn("holidays", year)
        winter, summer = rng.randrange(40, 60), rng.randrange(190, 225)
        return {*range(winter, winter + 7), *range(summer, summer + 14)}

    def _draw_weather(self, number: int) -> tuple[int, int]:
        rng = self._drawn("weather", number)
        return rng.randrange(-50, 51), rng.randrange(150, 950)

    def _weather(self, rng: random.Random, day: date, season: int) -> tuple[int, int]:
        """Return the day's temperature in tenths of a degree, and how clear the sky is."""
        number, part = divmod(day.toordinal(), _WEATHER_DAYS)
        (warm, clear), (then_warm, then_clear) = self._weather_of(number), self._weather_of(number + 1)
        warm += (then_warm - warm) * part // _WEATHER_DAYS
        clear += (then_clear - clear) * part // _WEATHER_DAYS + rng.randrange(-250, 251)
        # The year is coldest and warmest a month after its shortest and longest day.
        late = _season(date.fromordinal(day.toordinal() - 28))
        return 100 + 85 * late // _ONE + warm + rng.randrange(-15, 16), min(
            950, max(80, clear + season // 10)
        )

    def _subtract_sun(
        self, powers: list[int], noon: int, season: int, clearness: int, noise: Sequence[int]
    ) -> None:
        half = (727 + 238 * season // _ONE) // 2
        peak = self._solar_peak * (600 + 240 * season // _ONE) // _ONE
        spread = min(clearness, _ONE - clearness)
        for slot in range((noon - half) // _MINUTES + 1, (noon + half) // _MINUTES):
            height = _ONE * (slot * _MINUTES - noon + half) // (2 * half)
            sun = 4 * height * (_ONE - height) // _ONE
            sky = max(60, clearness + spread * (noise[slot - 1] - 128) // 160)
            powers[slot] -= peak * sun * (_ONE + sun) * sky // (2 * _ONE**3)

    def _heating(self, rng: random.Random, warmth: int, *, is_away: bool) -> Iterator[_Load]:
        """Switch the heat pump on once an hour for as long as it takes, and for hot water."""
        need = max(0, _HEATING_LIMIT - warmth) * _HEATING_PER_TENTH // (2 if is_away else 1)
        late = rng.randrange(0, 60, _MINUTES)
        for hour, share in enumerate(_HEATING):
            minutes = min(60, 60 * need * share // (sum(_HEATING) * self._heat_pump))
            yield hour * 60 + late, minutes, self._heat_pump
        if not is_away:
            yield 770 + late, 65, self._heat_pump

    def _charging(self, rng: random.Random, day: date) -> Iterator[_Load]:
        if rng.randrange(100) < (15 if day.weekday() >= 5 else 35):
            yield 1050 + rng.randrange(150), 60 + rng.randrange(180), self._car


def _midnight(day: date) -> int:
    """Return midnight UTC of a date, in seconds since 1970."""
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())


def _season(day: date) -> int:
    """Return 1000 on the longest day, -1000 on the shortest, and a sine between (by Bhaskara's formula)."""
    half, x = divmod(2 * (day.timetuple().tm_yday - 81) % 730, 365)
    wave = 16 * _ONE * x * (365 - x) // (5 * 365**2 - 4 * x * (365 - x))
    return -wave if half else wave


def _add(powers: list[int], load: _Load) -> None:
    """Add a load; minutes after the change of the clock are those of the changed clock."""
    minute, minutes, watts = load
    shift = len(powers) - _SLOTS if minute >= _EARLY else 0
    begin = minute // _MINUTES + shift
    for slot in range(begin, min(len(powers), begin + minutes // _MINUTES)):
        powers[slot] += watts


def _appliances(rng: random.Random, *, is_weekend: bool) -> Iterator[_Load]:
    """Switch on what people switch on who are at home."""
    breakfast = rng.randrange(390, 450) + (100 if is_weekend else 0)
    yield breakfast, 10, 1_900
    yield breakfast, 40, 300
    if is_weekend or rng.randrange(3) == 0:
        yield 540, 540, rng.randrange(80, 220)
        yield rng.randrange(700, 770), 35, rng.randrange(1_000, 2_000)
    dinner = rng.randrange(1_070, 1_150)
    yield dinner, rng.randrange(30, 55), rng.randrange(1_300, 2_200)
    if rng.randrange(2):
        yield dinner - 15, rng.randrange(45, 75), 1_400
    yield 1_080, 280, rng.randrange(150, 380)
    if rng.randrange(100) < 60:
        yield dinner + 100, 15, 2_000
        yield dinner + 145, 10, 2_000
    if rng.randrange(100) < (60 if is_weekend else 30):
        laundry = rng.randrange(500, 1_000)
        yield laundry, 20, 2_000
        yield laundry + 20, 60, 250
        yield laundry + 90, 70, 900


def _gas(rng: random.Random, hours: int, warmth: int, *, is_away: bool) -> list[int]:
    """Return the litres of gas of each hour: cooking, and a boiler that helps on frosty days."""
    frost = max(0, 30 - warmth) * (1 if is_away else 3)
    return [
        frost + (rng.randrange(10, 120) if hour in (7, 12, 18, 19) and not is_away else 0)
        for hour in range(hours)
    ]


def _water(rng: random.Random, hours: int, *, is_away: bool) -> list[int]:
    """Return the litres of water of each hour; none at night."""
    if is_away:
        return [0] * hours
    return [rng.randrange(50) if 6 <= hour <= 22 else 0 for hour in range(hours)]
