//! Feeds the demo through the Kafka protocol, as any client would: librdkafka
//! over a socket, no short cut into the server.

use super::orders::OrderGenerator;
use anyhow::{Context, Result};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The topic that the shop writes.
pub const ORDERS_TOPIC: &str = "orders";
/// A consumer group that is slower than the orders come, so that there is a
/// lag to look at.
pub const SLOW_GROUP: &str = "slow-audit";
/// Orders a second around which the demo's rate swings.
pub const ORDERS_PER_S: f64 = 220.0;
/// What [`SLOW_GROUP`] manages, in records a second.
const SLOW_GROUP_PER_S: f64 = 175.0;
/// Orders are handed to the client this often.
const TICK: Duration = Duration::from_millis(10);

fn now_ms() -> i64 {
    chrono::Utc::now().timestamp_millis()
}

/// Sends orders until cancelled.
pub async fn produce_orders(
    bootstrap: String,
    base_per_s: f64,
    stop: CancellationToken,
) -> Result<()> {
    let producer: ThreadedProducer<_> = ClientConfig::new()
        .set("bootstrap.servers", &bootstrap)
        .set("client.id", "orders-producer")
        .set("enable.idempotence", "true")
        .set("linger.ms", "2")
        .create()
        .context("cannot make the orders producer")?;
    let mut generator = OrderGenerator::new(now_ms().unsigned_abs(), now_ms());
    let mut owed = 0.0;
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = ticks.tick() => {}
        }
        let now = now_ms();
        owed += generator.rate_per_s(base_per_s, now) * TICK.as_secs_f64();
        while owed >= 1.0 {
            owed -= 1.0;
            let order = generator.next(now);
            let record = BaseRecord::to(ORDERS_TOPIC)
                .key(&order.key)
                .payload(&order.value)
                .timestamp(order.timestamp_ms);
            match producer.send(record) {
                Ok(()) => {}
                // The client's own bounded queue: the broker is away or slow.
                // The shop's orders wait outside; the demo drops this tick's.
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => owed = 0.0,
                Err((error, _)) => return Err(error).context("cannot send an order"),
            }
        }
    }
    tokio::task::spawn_blocking(move || producer.flush(Duration::from_secs(2)).ok())
        .await
        .ok();
    Ok(())
}

/// Consumes orders more slowly than they come, until cancelled.
pub async fn consume_slowly(bootstrap: String, stop: CancellationToken) -> Result<()> {
    let consumer: StreamConsumer = ClientConfig::new()
        .set("bootstrap.servers", &bootstrap)
        .set("group.id", SLOW_GROUP)
        .set("client.id", "audit-1")
        .set("auto.offset.reset", "earliest")
        .set("auto.commit.interval.ms", "1000")
        // What waits in the client is not consumed yet: keep it small, so
        // that the lag on the server is the whole truth.
        .set("queued.max.messages.kbytes", "256")
        .create()
        .context("cannot make the slow consumer")?;
    consumer.subscribe(&[ORDERS_TOPIC])?;
    let mut ticks = tokio::time::interval(Duration::from_secs_f64(1.0 / SLOW_GROUP_PER_S));
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            _ = ticks.tick() => {}
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            // An error here (no topic yet, broker away) is retried by the
            // client itself; the next tick asks again.
            _ = consumer.recv() => {}
        }
    }
}
