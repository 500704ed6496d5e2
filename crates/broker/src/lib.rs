//! The Kafka broker: connections, dispatch, APIs, groups, transactions
