//! SIGTERM ends the binary, whatever it is doing; a query ends with its client.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Far more than any of it takes.
const PATIENCE: Duration = Duration::from_secs(60);
/// CPU time, in the kernel's ticks, after which threads are at it.
const BUSY_TICKS: u64 = 5;

struct Server {
    child: Child,
    http: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    fn start(data_dir: &Path, query_threads: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_millstream"))
            .args(["start", "--kafka-listen", "127.0.0.1:0"])
            .args(["--http-listen", "127.0.0.1:0", "--data-dir"])
            .arg(data_dir)
            .env("MILLSTREAM_ENGINE__QUERY_TIME", "1h")
            .env("MILLSTREAM_ENGINE__QUERY_THREADS", query_threads)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut ready).unwrap();
        let http = ready.trim().rsplit_once("http=").unwrap().1;
        Self {
            http: format!("http://{http}"),
            child,
        }
    }

    fn post(&self, path: &str, body: serde_json::Value) -> Result<String, String> {
        post(&format!("{}{path}", self.http), &body)
    }

    /// CPU time that the threads of queries have used.
    fn query_ticks(&self) -> u64 {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let ticks = tasks.filter_map(|task| {
            let stat = std::fs::read_to_string(task.ok()?.path().join("stat")).ok()?;
            let rest = stat.split_once("(query) ")?.1;
            let field = |n: usize| rest.split(' ').nth(n)?.parse::<u64>().ok();
            // utime and stime are fields 14 and 15; `rest` begins at 3.
            Some(field(11)? + field(12)?)
        });
        ticks.sum()
    }

    fn wait(&mut self) -> std::process::ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(began.elapsed() < PATIENCE, "it does not stop");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn post(url: &str, body: &serde_json::Value) -> Result<String, String> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .build()
        .into();
    let mut response = agent.post(url).send_json(body).map_err(|e| e.to_string())?;
    let text = response.body_mut().read_to_string().unwrap_or_default();
    match response.status().is_success() {
        true => Ok(text),
        false => Err(text),
    }
}

/// Ten thousand rows, each with a pattern of its own to compile: a thread would
/// be at it for minutes.
const ENDLESS: &str = "SELECT COUNT(*) FROM t a, t b \
                       WHERE REGEXP(a.v, CONCAT(a.v, b.v, '(a{100}){90}'))";

fn sql(sql: &str) -> serde_json::Value {
    serde_json::json!({ "sql": sql })
}

fn server_with_rows(data_dir: &Path, query_threads: &str) -> Server {
    let server = Server::start(data_dir, query_threads);
    let table = "CREATE TABLE t (v STRING) WITH ('connector' = 'kafka', 'topic' = 't', \
                 'format' = 'json')";
    server.post("/api/v1/sql", sql(table)).unwrap();
    let topic = serde_json::json!({ "name": "t" });
    server.post("/api/v1/topics", topic).unwrap();
    for i in 0..100 {
        let value = serde_json::json!({ "v": format!("v{i}") }).to_string();
        let record = serde_json::json!({ "value": value });
        server.post("/api/v1/topics/t/produce", record).unwrap();
    }
    server
}

fn wait_until_queries_run(server: &Server) {
    let began = Instant::now();
    while server.query_ticks() < BUSY_TICKS {
        assert!(began.elapsed() < PATIENCE, "the queries do not run");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn sigterm_ends_a_server_with_endless_queries() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = server_with_rows(dir.path(), "0");
    let url = format!("{}/api/v1/sql", server.http);
    let clients: Vec<_> = (0..2)
        .map(|_| {
            let url = url.clone();
            std::thread::spawn(move || post(&url, &sql(ENDLESS)))
        })
        .collect();
    wait_until_queries_run(&server);
    let pid = server.child.id().to_string();
    let sent = Command::new("kill").args(["-TERM", &pid]).status();
    assert!(sent.unwrap().success());
    assert!(server.wait().success(), "a clean stop");
    for client in clients {
        let answer = client.join().unwrap();
        assert!(answer.is_err(), "{answer:?}");
    }
    assert!(dir.path().join(".kafka_cleanshutdown").exists());
}

#[test]
fn a_query_ends_when_its_client_closes_the_connection() {
    let dir = tempfile::tempdir().unwrap();
    let server = server_with_rows(dir.path(), "1");
    let body = sql(ENDLESS).to_string();
    let address = server.http.trim_start_matches("http://");
    let mut client = TcpStream::connect(address).unwrap();
    write!(
        client,
        "POST /api/v1/sql HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    wait_until_queries_run(&server);
    drop(client);
    // There is one thread, and the query would have it for an hour.
    let answer = server.post("/api/v1/sql", sql("SELECT COUNT(*) FROM t"));
    assert!(answer.unwrap().contains("[[100]]"));
}
