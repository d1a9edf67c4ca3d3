"""dramatiq on Redis, holding nothing that the ledger does not know. Importing this sets dramatiq's broker.

ledger_broker.py      the side of Redis: connection, keys, scripts
consumer.py           how a worker process takes messages out, and survives trouble of Redis
unknown_messages.py   what is found in Redis and is no message of ours
"""

import dramatiq

from clients.pluvo import waiting
from workers.broker.consumer import LedgerConsumer
from workers.broker.ledger_broker import QUEUES, LedgerBroker

__all__ = ["LedgerBroker", "broker"]

broker = LedgerBroker(LedgerConsumer)
dramatiq.set_broker(broker)
for _queue in QUEUES:
    broker.declare_queue(_queue)
waiting.begun = broker.wake
