r"""MQTT: the way of a reading from `publish` to the broker.

    readers' threads       thread "MQTT"
    publish -> Arrivals -> Publications -> MeterTopics -> SendQueue -> Sender -> Connection -> broker
                                       \-> Outbox (memory, store) ----/

Two paths lead to the broker. The newest state of a meter replaces the one before and is never stored, because
Home Assistant stamps on arrival and would record an old value as a new one. Telegrams (`telegrams: true`) are
a history: the outbox keeps them in order over an outage.

**Threads.** Readers only append to a queue, so whatever the broker does, reading goes on. One thread, "MQTT",
does everything else: it waits in one poll() for the broker and for the wake pipe (wake), and at least once a
second takes what has arrived, writes what has waited too long, and shows the supervisor that it lives
(output). Opening a connection may block for a minute, so a thread of its own does it (connecting). A session
(session) is one connection from greeting to goodbye; everything else outlives it.

**Holding places and their bounds.**

- Arrivals: 5,000 readings, those of unnamed meters are dropped first. Shared by the readers and the thread.
- MeterTopics: the newest reading of each meter, until its interval is over.
- SendQueue: the newest message of each retained topic, by rank: named meters before others, states before
  announcements. A message that the broker refuses for now waits beside it in the sender, one a topic. What
  goes to Domoticz (domoticz_in) is not retained, and has one topic; there it is the newest of each device.
- Outbox: 10 s of telegrams and one page of the store in memory; the store is bounded in bytes and days.
  With a full disk, 20,000 telegrams stay in memory.
- paho: what is in flight, and nothing else.

**The window.** 120 messages, or what a broker of MQTT 5 allows, may wait for their acknowledgement. A sixth
of it is for telegrams: without, the states of a thousand meters would starve them; with more, a new state
would queue behind the backlog on a slow link.

**What the broker refuses.** refused_messages finds the message that made the broker close the connection,
puts it aside and tries it again; broker_status logs it, and how the connection fares; broker_errors says what
errors and reason codes mean.

**The rest.** supervisor asks Home Assistant where the broker is; meters decides what is due of all meters;
devices decides which M-Bus devices are published, and which meter announces one; retained remembers the
topics that the broker holds, so that they can be emptied; home_assistant makes the announcements, from the
table in entities and the manufacturers in makers; topics makes the names.
"""
