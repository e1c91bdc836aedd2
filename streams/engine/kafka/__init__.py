"""Everything that touches the inside of aiokafka.

TOUCHED lists it: private names that are read or set, and methods of a client that are replaced. A test compares the
list with this package and with the aiokafka that is installed. pyproject.toml bounds its version.
"""

from typing import NamedTuple


class Touch(NamedTuple):
    """A name of aiokafka that this package relies on though aiokafka does not promise it."""

    owner: str
    name: str
    kind: str
    """Parameters of a method, joined by commas; of an attribute its type."""
    module: str
    """The module of this package that touches it."""


TOUCHED = (
    Touch("AIOKafkaProducer", "_closed", "bool", "abandoning"),
    Touch("AIOKafkaProducer", "_sender", "Sender", "abandoning"),
    Touch("AIOKafkaConsumer", "_fetcher", "NoneType", "bare_records"),
    Touch("Fetcher", "_proc_fetch_request", "assignment,node_id,request", "bare_records"),
    Touch("Fetcher", "_records", "OrderedDict", "bare_records"),
    Touch("FetchResult", "_partition_records", "PartitionRecords", "bare_records"),
    Touch("PartitionRecords", "_consumer_record", "tp,record", "bare_records"),
    Touch("AIOKafkaConsumer", "_client", "AIOKafkaClient", "clients"),
    Touch("AIOKafkaAdminClient", "_client", "AIOKafkaClient", "clients"),
    Touch("AIOKafkaConsumer", "_client", "AIOKafkaClient", "broken_consumer"),
    Touch("AIOKafkaConsumer", "_coordinator", "NoneType", "broken_consumer"),
    Touch("AIOKafkaConsumer", "_fetcher", "NoneType", "broken_consumer"),
    Touch("AIOKafkaConsumer", "_subscription", "SubscriptionState", "broken_consumer"),
    Touch("AIOKafkaClient", "_sync_task", "NoneType", "broken_consumer"),
    Touch("Fetcher", "_fetch_task", "Task", "broken_consumer"),
    Touch("GroupCoordinator", "_coordination_task", "Task", "broken_consumer"),
    Touch("NoGroupCoordinator", "_reset_committed_task", "Task", "broken_consumer"),
    Touch("AIOKafkaConsumer", "_coordinator", "NoneType", "clients"),
    Touch("AIOKafkaConsumer", "_request_timeout_ms", "int", "clients"),
    Touch("AIOKafkaClient", "_metadata_update", "cluster_metadata,topics", "guarded_client"),
    Touch("AIOKafkaClient", "_md_update_waiter", "Future", "guarded_client"),
    Touch("AIOKafkaClient", "_topics", "set", "guarded_client"),
    Touch("AIOKafkaClient", "_conns", "dict", "guarded_client"),
    Touch("AIOKafkaClient", "_request_timeout_ms", "int", "guarded_client"),
    Touch("AIOKafkaClient", "send", "node_id,request,group", "guarded_client"),
    Touch("AIOKafkaClient", "bootstrap", "", "guarded_client"),
    Touch("AIOKafkaConnection", "_requests", "deque", "guarded_client"),
    Touch("AIOKafkaClient", "send", "node_id,request,group", "guarded_producer"),
    Touch("AIOKafkaClient", "_conns", "dict", "guarded_producer"),
    Touch("AIOKafkaClient", "send", "node_id,request,group", "log_starts"),
    Touch("AIOKafkaProducer", "_txn_manager", "TransactionManager", "guarded_producer"),
    Touch("AIOKafkaProducer", "_message_accumulator", "MessageAccumulator", "guarded_producer"),
    Touch("MessageAccumulator", "_batches", "defaultdict", "guarded_producer"),
    Touch("MessageBatch", "_drain_waiter", "Future", "guarded_producer"),
    Touch("TransactionManager", "error_transaction", "exc", "guarded_producer"),
    Touch("TransactionManager", "partitions_to_add", "", "guarded_producer"),
    Touch("TransactionManager", "maybe_add_partition_to_txn", "tp", "guarded_producer"),
    Touch("TransactionManager", "_transaction_waiter", "Future", "guarded_producer"),
    Touch("_DefaultRecordBatchBuilderPy", "_buffer", "bytearray", "record_batch"),
    Touch("_DefaultRecordBatchBuilderPy", "_num_records", "int", "record_batch"),
    Touch("_DefaultRecordBatchBuilderPy", "_last_offset", "int", "record_batch"),
    Touch("_DefaultRecordBatchBuilderPy", "_first_timestamp", "NoneType", "record_batch"),
    Touch("_DefaultRecordBatchBuilderPy", "_max_timestamp", "NoneType", "record_batch"),
    Touch("_DefaultRecordBatchBuilderPy", "_write_header", "use_compression_type", "record_batch"),
)
