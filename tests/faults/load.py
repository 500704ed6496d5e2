"""One client of the load, a process of its own so that it can be killed:

    load.py ROLE WHO FOLDER SETTINGS

It writes what it sees to FOLDER/history-WHO.jsonl (see checker.py), one write
per event and before the request where it is about one, so that a SIGKILL loses
nothing that matters. It looks at FOLDER/phase: while `run` it works; at `drain`
the producers finish and end; at `end` all do.
"""

from __future__ import annotations

import faulthandler
import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

EVENTS, COPIES = "events", "copies"
PARTITIONS = {EVENTS: 3, COPIES: 2, "java": 1}
#: How often a record is copied on: events -> copies -> events.
HOPS = 2
PAD_BYTES_MAX = 1200
#: Longer than any fault, so that what a fault delays is delivered after it.
DELIVERY_MS = 60_000
FINISH_S = 40.0
#: librdkafka's own log in clients.log: FAULTS_DEBUG=eos,broker
DEBUG = {"debug": os.environ["FAULTS_DEBUG"], "log_level": 7} if "FAULTS_DEBUG" in os.environ else {}
#: With re-bootstrap, librdkafka gives up its brokers while requests are under way, and stands still for ever:
#: a transactional producer in send_offsets_to_transaction (librdkafka#5511, #5456), a consumer on its own two
#: locks (librdkafka#5476). Producers that are not transactional keep it.
NO_REBOOTSTRAP = {"metadata.recovery.strategy": "none"}
#: Answers after which the record will never be there.
FOR_GOOD = {KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_MSG, KafkaError._UNKNOWN_TOPIC,
            KafkaError._UNKNOWN_PARTITION, KafkaError.TOPIC_AUTHORIZATION_FAILED}


class History:
    def __init__(self, folder: Path, who: str):
        self.who = who
        self.file = os.open(folder / f"history-{who}.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def log(self, e: str, **fields):
        line = json.dumps({"e": e, "who": self.who, "t": time.monotonic_ns(), **fields}, separators=(",", ":"))
        os.write(self.file, line.encode() + b"\n")

# What a consumer cannot go on after. A static member of the consumer protocol
# that comes back after a crash gets UNRELEASED_INSTANCE_ID until the session of
# the one that crashed is over, from Kafka as well: its process has to be begun
# anew until then.
GIVES_UP = {KafkaError._FATAL, KafkaError.FENCED_INSTANCE_ID, 111}
BEGIN_AGAIN_S = 1.0
LEAVE_S = 10.0


class Client:
    def __init__(self, role: str, who: str, folder: Path, settings: dict):
        self.role, self.who, self.folder, self.settings = role, who, folder, settings
        self.history = History(folder, who)
        self.chance = random.Random(f"{settings['seed']}-{who}")
        self.sent = 0

    def phase(self) -> str:
        return (self.folder / "phase").read_text()

    def working(self) -> bool:
        return self.phase() == "run"

    def note(self, what: str, error):
        """For people; the checker does not read it."""
        self.history.log("note", what=what, error=str(error))

    # ------------------------------------------------------------ producers

    def producer(self, **more) -> Producer:
        return Producer({
            "bootstrap.servers": self.settings["bootstrap"], "client.id": self.who, "acks": "all", "linger.ms": 5,
            **(NO_REBOOTSTRAP if "transactional.id" in more else {"delivery.timeout.ms": DELIVERY_MS}),
            "retry.backoff.ms": 20, "retry.backoff.max.ms": 200, "reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 200,
            "socket.timeout.ms": 10_000, "compression.type": self.settings["codec"], "log_level": 0,
            "error_cb": lambda error: None, **more, **DEBUG})

    def value(self, identity: str) -> str:
        return f"{identity}|{'x' * self.chance.randrange(PAD_BYTES_MAX)}"

    def send(self, producer: Producer, kind: str, topic: str = EVENTS, who: str | None = None, txn: str | None = None,
             parent: str | None = None):
        self.sent += 1
        identity = f"{parent}<{self.who}.{self.sent}" if parent else f"{self.who}.{self.sent}"
        partition = self.chance.randrange(PARTITIONS[topic])
        fields = {"kind": kind, "v": identity, "topic": topic, "p": partition}
        fields |= {"txn": txn} if txn else {}
        fields |= {"parent": parent} if parent else {}

        def delivered(error, message):
            if error is None and kind == "plain" and self.settings["acks"] == "0":
                self.history.log("unanswered", v=identity)  # Nobody has promised anything.
            elif error is None:
                self.history.log("ack", v=identity, topic=topic, p=partition,
                                 o=-1 if message.offset() is None else message.offset())
            elif error.code() in FOR_GOOD:
                self.history.log("refused", v=identity, error=str(error))
            else:
                self.history.log("unknown", v=identity, error=str(error))

        self.history.log("send", **fields)
        value = self.value(identity)
        while True:
            try:
                producer.produce(topic, value=value, partition=partition, on_delivery=delivered)
                break
            except BufferError:
                producer.poll(0.05)
        producer.poll(0)

    def produce(self, kind: str):
        idempotent = kind == "idempotent"
        settings = {"enable.idempotence": True} if idempotent else {"max.in.flight": 1, "acks": self.settings["acks"]}
        producer = self.producer(**settings)
        while self.working():
            for _ in range(self.chance.randint(1, 6)):
                try:
                    self.send(producer, kind)
                except KafkaException as error:
                    # A producer that cannot go on: the next one is another, with an order of its own.
                    self.note("producer given up", error)
                    producer.flush(1)
                    producer = self.producer(**settings)
                    self.history.who = self.who = f"{self.who}'"
            producer.poll(self.settings["pause_s"])
        if producer.flush(FINISH_S):
            self.history.log("stuck", what=f"{self.who} has {len(producer)} records that are neither sent nor failed")

    # ---------------------------------------------------------- transactions

    def transactional(self) -> Producer:
        while True:
            producer = self.producer(**{"transactional.id": f"txn-{self.role}", "transaction.timeout.ms": 15_000})
            try:
                self.retried(lambda: producer.init_transactions(5))
                return producer
            except KafkaException as error:
                self.note("init_transactions", error)
                if self.phase() == "end":
                    raise
                time.sleep(0.1)

    @staticmethod
    def retried(step):
        """Repeats what may be repeated, for longer than any fault lasts."""
        until = time.monotonic() + FINISH_S
        while True:
            try:
                return step()
            except KafkaException as error:
                if not error.args[0].retriable() or time.monotonic() > until:
                    raise

    def end(self, producer: Producer, txn: str, how: str) -> str | None:
        """How it really ended; None when that is not known and the producer cannot go on."""
        while True:
            self.history.log("end", txn=txn, how=how)
            try:
                ask = producer.commit_transaction if how == "commit" else producer.abort_transaction
                self.retried(lambda: ask(5))
                self.history.log("ended", txn=txn, how=how)
                return how
            except KafkaException as error:
                self.note(f"{how} of {txn}", error)
                if how == "commit" and error.args[0].txn_requires_abort():
                    how = "abort"
                    continue
                return None

    def transactions(self):
        producer = self.transactional()
        number = 0
        while self.working():
            number += 1
            txn = f"{self.who}#{number}"
            try:
                producer.begin_transaction()
                for _ in range(self.chance.randint(0, 8)):
                    self.send(producer, "transactional", txn=txn)
                if self.chance.random() < 0.3:
                    producer.flush(2)
            except KafkaException as error:
                self.note("in a transaction", error)
                how = "abort"
                if error.args[0].fatal():
                    producer = self.transactional()
                    continue
            else:
                how = "abort" if self.chance.random() < 0.25 else "commit"
            if self.end(producer, txn, how) is None:
                producer = self.transactional()
            producer.poll(self.settings["pause_s"])

    # ------------------------------------------------------------- consumers

    def consumer(self, view: str, **more) -> Consumer:
        return Consumer({
            "bootstrap.servers": self.settings["bootstrap"], "client.id": self.who, "isolation.level": f"read_{view}",
            "enable.auto.commit": False, "auto.offset.reset": "earliest", "fetch.wait.max.ms": 100, "check.crcs": True,
            "reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 200, "retry.backoff.ms": 20,
            "socket.timeout.ms": 10_000, "log_level": 0, "error_cb": lambda error: None, **NO_REBOOTSTRAP, **more, **DEBUG})

    def group(self, name: str, static: bool) -> dict:
        settings = {"group.id": name}
        if static:
            settings["group.instance.id"] = f"instance-{self.role}"
        if self.settings["protocol"] == "consumer":
            return settings | {"group.protocol": "consumer"}
        return settings | {"session.timeout.ms": 6000, "heartbeat.interval.ms": 300,
                           "partition.assignment.strategy": self.settings["assignor"]}

    def rows(self, messages: list, view: str) -> dict:
        """Writes down one poll; the next offset of each partition in it."""
        polled: dict = {}
        for message in messages:
            if message.error() is None:
                identity = message.value().split(b"|", 1)[0].decode("utf-8", "replace")
                polled.setdefault((message.topic(), message.partition()), []).append((message.offset(), identity))
        for (topic, partition), rows in polled.items():
            self.history.log("rows", topic=topic, p=partition, view=view, rows=rows)
        return {place: rows[-1][0] + 1 for place, rows in polled.items()}

    def poll(self, consumer: Consumer, n: int = 200) -> list:
        try:
            messages = consumer.consume(n, 0.2)
        except KafkaException as error:
            self.note("poll", error)
            messages, failed = [], [error.args[0]]
        else:
            failed = [m.error() for m in messages if m.error() is not None]
        for error in failed:
            if error.fatal() or error.code() in GIVES_UP:
                raise KafkaException(error)
        return messages

    def member(self, view: str):
        """A member of a group, begun anew when it has to give up, as by a supervisor."""
        while self.phase() != "end":
            try:
                self.member_once(view)
            except KafkaException as error:
                self.note("member given up", error)
                time.sleep(BEGIN_AGAIN_S)

    def member_once(self, view: str):
        """Reads as a member of a group and commits what it has read."""
        group = f"group-{view}"
        consumer = self.consumer(view, **self.group(group, static=self.settings["static"]))
        position: dict = {}

        def assigned(_consumer, partitions):
            for p in partitions:
                position.pop((p.topic, p.partition), None)
                self.history.log("assigned", topic=p.topic, p=p.partition, view=view, group=group)

        def revoked(_consumer, partitions):
            self.commit(consumer, group, {(p.topic, p.partition): position.pop((p.topic, p.partition))
                                          for p in partitions if (p.topic, p.partition) in position})

        def lost(_consumer, partitions):
            for p in partitions:
                position.pop((p.topic, p.partition), None)

        consumer.subscribe([EVENTS], on_assign=assigned, on_revoke=revoked, on_lost=lost)
        while self.phase() != "end":
            read = self.rows(self.poll(consumer), view)
            position.update(read)
            # Once producers are done every batch is, so that the group's offsets say what it has read.
            if read and (not self.working() or self.chance.random() < 0.7):
                self.commit(consumer, group, dict(position))
            elif not self.working() and position:
                self.commit(consumer, group, dict(position))
        self.leave(consumer, view)

    def leave(self, consumer: Consumer, view: str):
        """Not by close() at once, see README.md: what a rebalance has begun to revoke is revoked first."""
        deadline = time.monotonic() + LEAVE_S
        try:
            consumer.unsubscribe()
            while consumer.assignment() and time.monotonic() < deadline:
                self.rows(self.poll(consumer), view)
        except KafkaException as error:
            self.note("leaving", error)
        consumer.close()

    def commit(self, consumer: Consumer, group: str, offsets: dict):
        ids = {}
        for (topic, partition), offset in offsets.items():
            self.sent += 1
            ids[topic, partition] = identity = f"{self.who}/{self.sent}"
            self.history.log("commit", group=group, topic=topic, p=partition, o=offset, id=identity)
        if not offsets:
            return
        try:
            done = consumer.commit(offsets=[TopicPartition(t, p, o) for (t, p), o in offsets.items()], asynchronous=False)
        except KafkaException as error:
            self.note("commit of offsets", error)
            return
        for p in done:
            if p.error is None:
                self.history.log("committed", id=ids[p.topic, p.partition])
            else:
                self.note("commit of an offset", p.error)

    def reader(self, view: str):
        """Reads all from the beginning, without a group, and at the end to the end."""
        consumer = self.consumer(view, **{"group.id": f"nobody-{self.who}", "enable.partition.eof": True,
                                          "auto.offset.reset": "error"})
        everything = [TopicPartition(topic, p, 0) for topic, n in PARTITIONS.items() for p in range(n)]
        for p in everything:
            self.history.log("assigned", topic=p.topic, p=p.partition, view=view, at=0)
        consumer.assign(everything)
        deadline, at_end = None, set()
        while deadline is None or (time.monotonic() < deadline and len(at_end) < len(everything)):
            if deadline is None and self.phase() == "end":
                # What is told as the end from now on is the end: nobody writes any more.
                deadline, at_end = time.monotonic() + FINISH_S, set()
                consumer.assign([TopicPartition(p.topic, p.partition, p.offset if p.offset > 0 else 0)
                                 for p in consumer.position(everything)])
            messages = self.poll(consumer, 500)
            self.rows(messages, view)
            for message in messages:
                place = (message.topic(), message.partition())
                if message.error() is None:
                    at_end.discard(place)
                elif message.error().code() == KafkaError._PARTITION_EOF:
                    at_end.add(place)
                elif message.error().code() == KafkaError._AUTO_OFFSET_RESET:
                    self.history.log("stuck", what=f"{self.who} read an offset that is not there: {message.error()}")
                    return
        if len(at_end) < len(everything):
            self.history.log("stuck", what=f"{self.who} did not come to the end of all partitions")
        consumer.close()

    def copier(self):
        """Consume, transform, produce: each record once, with its offset in the same transaction."""
        number = 0
        while self.phase() != "end":
            producer = self.transactional()
            consumer = self.consumer("committed", **self.group("copiers", static=True))

            def assigned(_consumer, partitions):
                for p in partitions:
                    self.history.log("assigned", topic=p.topic, p=p.partition, view="committed")

            consumer.subscribe([EVENTS, COPIES], on_assign=assigned)
            try:
                while self.phase() != "end":
                    messages = [m for m in self.poll(consumer, 100) if m.error() is None]
                    if messages:
                        number += 1
                        self.copy(consumer, producer, messages, f"{self.who}#{number}")
            except KafkaException as error:
                self.note("copier given up", error)
                time.sleep(BEGIN_AGAIN_S)
            finally:
                if self.phase() == "end":
                    self.leave(consumer, "committed")
                else:
                    consumer.close()  # Which leaves its static membership for whom comes next.

    def copy(self, consumer: Consumer, producer: Producer, messages: list, txn: str):
        following = self.rows(messages, "committed")
        how = "commit"
        producer.begin_transaction()
        try:
            for message in messages:
                identity = message.value().split(b"|", 1)[0].decode("utf-8", "replace")
                if identity.count("<") < HOPS:
                    target = COPIES if message.topic() == EVENTS else EVENTS
                    self.send(producer, "transactional", target, txn=txn, parent=identity)
            offsets = [TopicPartition(t, p, o) for (t, p), o in following.items()]
            self.retried(lambda: producer.send_offsets_to_transaction(offsets, consumer.consumer_group_metadata(), 5))
            if self.chance.random() < 0.1:
                how = "abort"
        except KafkaException as error:
            self.note("in a copy", error)
            if not error.args[0].txn_requires_abort():
                raise
            how = "abort"
        ended = self.end(producer, txn, how)
        if ended is None:
            raise KafkaException(KafkaError(KafkaError._STATE, f"{txn} ended unknown"))
        if ended == "abort":
            self.rewind(consumer, messages)

    def rewind(self, consumer: Consumer, messages: list):
        """Reads again what the aborted transaction had read."""
        first: dict = {}
        for m in messages:
            first.setdefault((m.topic(), m.partition()), m.offset())
        mine = {(p.topic, p.partition) for p in consumer.assignment()}
        for (topic, partition), offset in first.items():
            if (topic, partition) in mine:
                consumer.seek(TopicPartition(topic, partition, offset))
                self.history.log("assigned", topic=topic, p=partition, view="committed", at=offset)


ROLES = {
    "plain": lambda c: c.produce("plain"),
    "idempotent": lambda c: c.produce("idempotent"),
    "transactions": lambda c: c.transactions(),
    "copier-0": lambda c: c.copier(),
    "copier-1": lambda c: c.copier(),
    "member-0": lambda c: c.member("committed"),
    "member-1": lambda c: c.member("committed"),
    "reader-committed": lambda c: c.reader("committed"),
    "reader-uncommitted": lambda c: c.reader("uncommitted"),
}


def main():
    # Asked by the harness before it ends a client that hangs.
    faulthandler.register(signal.SIGUSR1)
    role, who, folder, settings = sys.argv[1:]
    client = Client(role, who, Path(folder), json.loads(settings))
    try:
        ROLES[role](client)
    except Exception as error:
        client.history.log("stuck", what=f"{who} failed: {error!r}")
        raise


if __name__ == "__main__":
    main()
