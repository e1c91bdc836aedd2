"""Everything that touches the inside of aiokafka."""
