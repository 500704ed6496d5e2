"""aiokafka against a running broker; BOOTSTRAP is its address.

The tests are coroutines, each in a loop of its own. What the old version has
not got is marked with `since` and not collected for it; tests.allow sees to it
that nothing is lost so.
"""

import asyncio
import inspect
import os
import uuid

import aiokafka
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

VERSION = tuple(int(part) for part in aiokafka.__version__.split(".")[:2])
WAIT_MAX_S = 30


def pytest_configure(config):
    config.addinivalue_line("markers", "since(major, minor): not for older clients")


def pytest_collection_modifyitems(config, items):
    kept, dropped = [], []
    for item in items:
        newest = max((mark.args for mark in item.iter_markers("since")), default=(0, 0))
        (kept if newest <= VERSION else dropped).append(item)
    items[:] = kept
    config.hook.pytest_deselected(items=dropped)


def pytest_pyfunc_call(pyfuncitem):
    """Runs a coroutine test with a fresh Broker as its argument."""
    function = pyfuncitem.obj
    if not inspect.iscoroutinefunction(function):
        return None
    wanted = {name: pyfuncitem.funcargs[name] for name in inspect.signature(function).parameters}

    async def run():
        async with Broker(os.environ["BOOTSTRAP"]) as broker:
            await function(**{**wanted, "broker": broker})

    asyncio.run(run())
    return True


async def wait_until(condition, what: str):
    """Awaits `condition()` again and again until it answers something true."""
    deadline = asyncio.get_running_loop().time() + WAIT_MAX_S
    while True:
        value = await condition()
        if value:
            return value
        if asyncio.get_running_loop().time() > deadline:
            raise TimeoutError(f"{what}: not within {WAIT_MAX_S} s")
        await asyncio.sleep(0.02)


class Broker:
    """Clients for the broker under test, and names that no other test uses."""

    def __init__(self, bootstrap: str):
        self.bootstrap = bootstrap
        self.open = []

    async def __aenter__(self):
        self.admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await self.admin.start()
        return self

    async def __aexit__(self, *_):
        for client in reversed(self.open):
            await client.stop()
        await self.admin.close()

    @staticmethod
    def name(what: str) -> str:
        return f"{what}-{uuid.uuid4().hex[:8]}"

    async def topic(self, what: str, partitions: int = 1, **configs: str) -> str:
        name = self.name(what)
        settings = {key.replace("_", "."): value for key, value in configs.items()}
        answer = await self.admin.create_topics([NewTopic(name, partitions, 1, topic_configs=settings)])
        assert answer.topic_errors[0][1] == 0, answer
        # Kafka's controller answers before the broker's own view has the topic.
        await wait_until(lambda: self.has(name, partitions), f"topic {name}")
        return name

    async def has(self, topic: str, partitions: int) -> bool:
        found = (await self.admin.describe_topics([topic]))[0]
        return found["error_code"] == 0 and len(found["partitions"]) == partitions and all(
            p["leader"] >= 0 and p["error_code"] == 0 for p in found["partitions"])

    async def producer(self, **settings) -> AIOKafkaProducer:
        producer = AIOKafkaProducer(bootstrap_servers=self.bootstrap, **{"acks": "all", "linger_ms": 5, **settings})
        await producer.start()
        self.open.append(producer)
        return producer

    async def consumer(self, *topics, **settings) -> AIOKafkaConsumer:
        config = {"auto_offset_reset": "earliest", "enable_auto_commit": False, "fetch_max_wait_ms": 50}
        consumer = AIOKafkaConsumer(*topics, bootstrap_servers=self.bootstrap, **{**config, **settings})
        await consumer.start()
        self.open.append(consumer)
        return consumer

    async def stop(self, client):
        self.open.remove(client)
        await client.stop()

    async def fill(self, topic, n, partitions=1, **settings):
        producer = await self.producer(**settings)
        sent = [await producer.send(topic, value=b"v%d" % i, partition=i % partitions, timestamp_ms=1_000_000 + i)
                for i in range(n)]
        stored = [await future for future in sent]
        await self.stop(producer)
        return stored

    async def read_all(self, topic: str, partitions: int = 1, first: int = 0, **settings) -> list:
        """Everything in the topic now from an offset on, in partition order."""
        wanted = [TopicPartition(topic, p) for p in range(partitions)]
        consumer = await self.consumer(**settings)
        consumer.assign(wanted)
        ends = await consumer.end_offsets(wanted)
        for partition in wanted:
            consumer.seek(partition, first)
        messages = []

        async def drained():
            for records in (await consumer.getmany(timeout_ms=100)).values():
                messages.extend(records)
            return all([await consumer.position(p) >= ends[p] for p in wanted])

        await wait_until(drained, f"all of {topic}")
        await self.stop(consumer)
        return sorted(messages, key=lambda m: (m.partition, m.offset))


@pytest.fixture
def broker():
    if not os.environ.get("BOOTSTRAP"):
        pytest.exit("BOOTSTRAP is not set: run tests/clients/run.sh", returncode=2)
