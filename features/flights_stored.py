"""What goes into the live flight-delay model: the timetable, and what is known of the day at scheduled departure.

The timetable's features are those of ``flights.py``, word for word: feature code is one file, so that its digest says
all. What is stored comes with two times, and is looked up as it was known at scheduled departure
(``examples/flights/stored.py`` says how it is made):

- the weather at the origin, observed by the hour;
- the plane, by tail number. A flight without one has no plane; in the data these are cancelled flights, which have
  no label, so no model learns from it. A plane that the register does not know (15.6 %) is a missing value as others;
- the delays of the carrier's and of the origin's flights that landed in the three hours before an hourly tick.

Left out on purpose: whatever becomes known after the scheduled departure, as ``dep_delay`` of the flight itself.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from scoretrail.feature import DEFAULT, Derived, FeatureView, Field, Request, Stored

TIME_ZONE = "America/New_York"
"""Of all three origins: delays grow over the local day, not over UTC's."""
MINUTES_PER_HOUR = 60
MINUTES_PER_DAY = 24 * MINUTES_PER_HOUR

ORIGINS = ("EWR", "JFK", "LGA")
CARRIERS = ("9E", "AA", "AS", "B6", "DL", "EV", "F9", "FL", "HA", "MQ", "OO", "UA", "US", "VX", "WN", "YV")
OTHER = "OTHER"
NO_PLANE = "NONE"
"""The tail number of a flight that has none yet; no plane has it."""
# fmt: off
DESTINATIONS = (
    "ABQ", "ACK", "ALB", "ATL", "AUS", "AVL", "BDL", "BGR", "BHM", "BNA", "BOS", "BQN", "BTV", "BUF",
    "BUR", "BWI", "CAK", "CHS", "CLE", "CLT", "CMH", "CRW", "CVG", "DAY", "DCA", "DEN", "DFW", "DSM",
    "DTW", "EGE", "FLL", "GRR", "GSO", "GSP", "HNL", "HOU", "IAD", "IAH", "IND", "JAX", "LAS", "LAX",
    "LGB", "MCI", "MCO", "MDW", "MEM", "MHT", "MIA", "MKE", "MSN", "MSP", "MSY", "MVY", "OAK", "OKC",
    "OMA", "ORD", "ORF", "PBI", "PDX", "PHL", "PHX", "PIT", "PSE", "PVD", "PWM", "RDU", "RIC", "ROC",
    "RSW", "SAN", "SAT", "SAV", "SDF", "SEA", "SFO", "SJC", "SJU", "SLC", "SMF", "SNA", "SRQ", "STL",
    "STT", "SYR", "TPA", "TUL", "TVC", "TYS", "XNA", OTHER,
)
# fmt: on
"""Destinations with at least 100 flights in January to August; new ones open any time, hence ``OTHER``."""


def _code(record: pa.RecordBatch, column: str, categories: tuple[str, ...]) -> pa.Array:
    return pc.index_in(record.column(column), value_set=pa.array(categories, pa.string())).cast(pa.float32())


def carrier_code(record: pa.RecordBatch) -> pa.Array:
    """Return the carrier's position in ``CARRIERS``."""
    return _code(record, "carrier", CARRIERS)


def origin_code(record: pa.RecordBatch) -> pa.Array:
    """Return the origin's position in ``ORIGINS``."""
    return _code(record, "origin", ORIGINS)


def dest_code(record: pa.RecordBatch) -> pa.Array:
    """Return the destination's position in ``DESTINATIONS``."""
    return _code(record, "dest", DESTINATIONS)


def _departure(record: pa.RecordBatch) -> pa.Array:
    """Return the scheduled departure in the origin's time zone, which only the calendar functions notice."""
    return record.column("sched_dep_at").cast(pa.timestamp("us", TIME_ZONE))


def dep_hour(record: pa.RecordBatch) -> pa.Array:
    """Return the local hour of the scheduled departure."""
    return pc.hour(_departure(record)).cast(pa.float32())


def dep_minute(record: pa.RecordBatch) -> pa.Array:
    """Return the local minute of the day of the scheduled departure."""
    at = _departure(record)
    return pc.add(pc.multiply(pc.hour(at), MINUTES_PER_HOUR), pc.minute(at)).cast(pa.float32())


def day_of_week(record: pa.RecordBatch) -> pa.Array:
    """Return the local day of the week of the scheduled departure, Monday 0."""
    return pc.day_of_week(_departure(record), count_from_zero=True, week_start=1).cast(pa.float32())


def clock_minutes(record: pa.RecordBatch) -> pa.Array:
    """Return the minutes between two clocks: the destination's on arrival, the origin's on departure.

    That is the scheduled duration plus the difference of the time zones, which hardly varies for one
    destination: the slack in a timetable shows, and no table of time zones is needed.
    """
    minutes = pc.subtract(record.column("sched_arr_minute"), record.column("dep_minute").cast(pa.int32()))
    return pc.if_else(pc.less(minutes, 0), pc.add(minutes, MINUTES_PER_DAY), minutes).cast(pa.float32())


def _figure(name: str, description: str, minimum: float | None = None) -> Field:
    return Field(name=name, type=pa.float32(), nullable=True, minimum=minimum, description=description)


def _delays(key: str, whose: str) -> Stored:
    return Stored(
        f"{key}_delay",
        key=key,
        fields=[
            _figure(f"{key}_landed", f"Flights of the {whose} that landed in the three hours before the tick.", 0),
            _figure(f"{key}_arr_delay", "Their mean arrival delay, minutes."),
            _figure(f"{key}_late_share", "Share of them that were 15 minutes late or more.", 0),
        ],
        max_age="3h",
        when_missing=DEFAULT,
        description=f"Delays of the {whose}'s flights, on an hourly tick, available ten minutes after it.",
    )


flight_delay_live = FeatureView(
    name="flight_delay_live",
    description="Flights from New York: the timetable, the weather, the plane and the delays known at departure.",
    entity_key="flight_id",
    event_time="sched_dep_at",
    request=[
        Request(
            "carrier",
            pa.string(),
            categories=CARRIERS,
            normalise=("strip", "upper"),
            description="Operating carrier, two-character IATA code.",
        ),
        Request(
            "origin",
            pa.string(),
            categories=ORIGINS,
            normalise=("strip", "upper"),
            description="Airport of departure, IATA code.",
        ),
        Request(
            "dest",
            pa.string(),
            categories=DESTINATIONS,
            other=OTHER,
            normalise=("strip", "upper"),
            description="Airport of arrival, IATA code; rare and new ones count as `OTHER`.",
        ),
        Request(
            "distance",
            pa.float32(),
            minimum=1,
            maximum=6000,
            description="Great-circle distance between the airports, miles.",
        ),
        Request(
            "sched_arr_minute",
            pa.int32(),
            minimum=0,
            maximum=MINUTES_PER_DAY - 1,
            description="Scheduled arrival on the destination's clock, minute of the day.",
        ),
        Request(
            "tail_number",
            pa.string(),
            default=NO_PLANE,
            normalise=("strip", "upper"),
            description="The plane's registration; `NONE` while no plane is assigned.",
        ),
    ],
    stored=[
        Stored(
            "origin_weather",
            key="origin",
            fields=[
                _figure("temp", "Temperature, degrees Fahrenheit."),
                _figure("humid", "Relative humidity, per cent.", 0),
                _figure("wind_speed", "Wind, miles per hour.", 0),
                _figure("precip", "Precipitation of the hour, inches.", 0),
                _figure("visib", "Visibility, miles.", 0),
                _figure("pressure", "Pressure at sea level, millibars.", 0),
            ],
            max_age="3h",
            when_missing=DEFAULT,
            description="Hourly observation at the airport of departure, available an hour after the hour it names.",
        ),
        Stored(
            "plane",
            key="tail_number",
            fields=[
                _figure("plane_year", "Year of manufacture.", 0),
                _figure("plane_engines", "Engines.", 0),
                _figure("plane_seats", "Seats.", 0),
            ],
            max_age=None,
            when_missing=DEFAULT,
            description="The plane as the register has it.",
        ),
        _delays("carrier", "carrier"),
        _delays("origin", "origin"),
    ],
    derived=[
        Derived("carrier_code", pa.float32(), of=carrier_code, description="The carrier's position in the list."),
        Derived("origin_code", pa.float32(), of=origin_code, description="The origin's position in the list."),
        Derived("dest_code", pa.float32(), of=dest_code, description="The destination's position in the list."),
        Derived("dep_hour", pa.float32(), of=dep_hour, description="Scheduled departure, New York hour."),
        Derived(
            "dep_minute",
            pa.float32(),
            of=dep_minute,
            description="Scheduled departure, New York minute of the day, 0 to 1439.",
        ),
        Derived(
            "day_of_week",
            pa.float32(),
            of=day_of_week,
            description="New York day of the scheduled departure, Monday 0 to Sunday 6.",
        ),
        Derived(
            "clock_minutes",
            pa.float32(),
            of=clock_minutes,
            minimum=1,
            maximum=MINUTES_PER_DAY // 2,
            description="Scheduled arrival on its clock minus departure on its own, minutes.",
        ),
    ],
    inputs=[
        "carrier_code",
        "origin_code",
        "dest_code",
        "dep_hour",
        "dep_minute",
        "day_of_week",
        "distance",
        "clock_minutes",
        "temp",
        "humid",
        "wind_speed",
        "precip",
        "visib",
        "pressure",
        "plane_year",
        "plane_engines",
        "plane_seats",
        "carrier_landed",
        "carrier_arr_delay",
        "carrier_late_share",
        "origin_landed",
        "origin_arr_delay",
        "origin_late_share",
    ],
)
