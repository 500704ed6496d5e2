"""Makes a data folder with the build at hand, for the builds that come after.

    tests/.venv/bin/python tests/upgrade/make_folder.py --binary BINARY --name 2026-11-30

Run it with the build *before* a change of what is stored; the folder goes to
`folders/NAME.tar.xz`, and `test_upgrade.py` opens it with every build from then on.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))
from servers import Millstream, http_json, wait_until  # noqa: E402

from confluent_kafka import Consumer, Producer  # noqa: E402
from confluent_kafka.admin import AdminClient, NewTopic  # noqa: E402

import content  # noqa: E402


def sql(server, text):
    return http_json("POST", f"{server.http}/api/v1/sql", {"sql": text})


def fill(server):
    admin = AdminClient({"bootstrap.servers": server.bootstrap})
    for future in admin.create_topics([NewTopic("orders", content.PARTITIONS, 1)]).values():
        future.result(30)
    producer = Producer({"bootstrap.servers": server.bootstrap, "transactional.id": "upgrade", "log_level": 0})
    producer.init_transactions(30)
    producer.begin_transaction()
    for n in range(content.ORDERS):
        producer.produce("orders", json.dumps(content.order(n)), key=f"o-{n}", partition=n % content.PARTITIONS)
    producer.commit_transaction(30)

    for statement in content.STATEMENTS:
        sql(server, statement)
    counted = "SELECT COUNT(*) FROM by_city"
    wait_until(lambda: sql(server, counted)["rows"][0][0] == content.RESULTS_BEFORE, "the job's results", 60, 0.2)
    sql(server, "STOP JOB 'large'")

    consumer = Consumer({"bootstrap.servers": server.bootstrap, "group.id": "readers",
                         "auto.offset.reset": "earliest", "enable.auto.commit": False})
    consumer.subscribe(["orders"])
    read = 0
    while read < content.COMMITTED:
        message = consumer.poll(30)
        assert message is not None and message.error() is None
        read += 1
        consumer.commit(message, asynchronous=False)
    consumer.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", type=Path, required=True)
    parser.add_argument("--name", required=True)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="millstream-upgrade-") as folder:
        data = Path(folder) / "data"
        with Millstream(data, binary=arguments.binary, config=content.CONFIG) as server:
            fill(server)
        out = Path(__file__).parent / "folders" / f"{arguments.name}.tar.xz"
        subprocess.run(["tar", "--sparse", "-cJf", str(out), "-C", folder, "data"], check=True)
        print(out, out.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
