"""dramatiq's broker, holding nothing that the ledger does not know. Importing this sets it.

ledger_broker.py      what a process has in hand, and which carrier it uses
carrier.py            what Redis or RabbitMQ must offer: redis_carrier.py, rabbitmq_carrier.py
consumer.py           how a worker process takes messages out, and survives trouble of the carrier
unknown_messages.py   what is found there and is no message of ours
"""

import dramatiq

from clients.http import waiting
from workers.broker.consumer import LedgerConsumer
from workers.broker.ledger_broker import QUEUES, LedgerBroker

__all__ = ["LedgerBroker", "broker"]

broker = LedgerBroker(LedgerConsumer)
dramatiq.set_broker(broker)
for _queue in QUEUES:
    broker.declare_queue(_queue)
waiting.begun = broker.wake
