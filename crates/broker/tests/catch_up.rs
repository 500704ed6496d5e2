//! A reader far behind: its records go from the files to its socket.

mod support;

use millstream_core::env::{CountingFs, RealFs};
use millstream_wire::batch::split_batches;
use support::kafka::{batch, create_topic, fetch_request, only, produce};
use support::{TestBroker, options};

const BATCHES: i64 = 400;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_from_the_beginning_gets_every_record_and_the_broker_reads_little_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let fs = CountingFs::new(RealFs::shared());
    let broker = TestBroker::with_fs(options(dir.path()), fs.shared()).await;
    let mut client = broker.client().await;
    create_topic(&mut client, "history", 1, &[]).await;
    for i in 0..BATCHES {
        let value = format!("{i:06}").repeat(2_000);
        let produced = produce(&mut client, "history", 0, batch(&[&value])).await;
        assert_eq!(produced.error_code, 0);
    }
    let before = fs.counts();
    let (mut next, mut bytes) = (0, 0);
    while next < BATCHES {
        let response = client.call(&fetch_request("history", 0, next), 12).await;
        let records = only(response.responses).records.unwrap().read().unwrap();
        bytes += records.len() as u64;
        let mut here = next;
        for batch in split_batches(records) {
            let batch = batch.unwrap();
            batch.verify_crc().unwrap();
            let record = batch.records().unwrap().next().unwrap().unwrap();
            assert_eq!(record.offset, here);
            let value = record.value.unwrap();
            assert_eq!(value, format!("{here:06}").repeat(2_000));
            here += 1;
        }
        assert!(here > next, "an answer without records");
        next = here;
    }
    let read = fs.counts().since(&before).bytes_read;
    // The first answer and the last, and a header now and then.
    assert!(
        cfg!(not(target_os = "linux")) || read < bytes / 2,
        "{read} of {bytes}"
    );
    broker.stop().await;
}
