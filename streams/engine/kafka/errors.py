"""Errors of Kafka that aiokafka does not know: without them it says UnknownError, and nobody knows what to do."""

from aiokafka.errors import BrokerResponseError, kafka_errors


class UnsupportedCompressionTypeError(BrokerResponseError):  # type: ignore[misc]
    """The broker does not take records that are compressed like this."""

    errno = 76
    message = "UNSUPPORTED_COMPRESSION_TYPE"
    description = "the broker takes no records that are compressed like this: set NPSFLOW_COMPRESSION to gzip or none"

    def __str__(self) -> str:
        return f"{type(self).__name__}: {self.description}"


kafka_errors.setdefault(UnsupportedCompressionTypeError.errno, UnsupportedCompressionTypeError)
