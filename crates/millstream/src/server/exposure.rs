//! What to warn of when others than this machine may connect: there is no
//! login yet.

use std::net::SocketAddr;

/// A warning for each listener that is not on loopback.
pub fn warnings(kafka: Option<SocketAddr>, http: SocketAddr) -> Vec<String> {
    let kafka = kafka.filter(|address| is_open(*address)).map(|address| {
        format!(
            "kafka.listen is {address} and there is no authentication: whoever reaches this port \
             may read, write and delete every topic. Use it only on a network you trust, or \
             listen on 127.0.0.1"
        )
    });
    let http = Some(http)
        .filter(|address| is_open(*address))
        .map(|address| {
            format!(
                "http.listen is {address} and there is no login: whoever reaches this port may run \
             any SQL, and read, write and delete every topic. Use it only on a network you trust, \
             or listen on 127.0.0.1"
            )
        });
    kafka.into_iter().chain(http).collect()
}

fn is_open(address: SocketAddr) -> bool {
    !address.ip().to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_listener_that_others_reach_is_warned_of() {
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        for open in ["0.0.0.0:9092", "[::]:9092", "192.168.1.7:9092"] {
            let told = warnings(Some(address(open)), address(open));
            assert_eq!(told.len(), 2, "{open}");
            assert!(told[0].contains("kafka.listen") && told[1].contains("http.listen"));
        }
        for loopback in ["127.0.0.1:9092", "[::1]:9092", "[::ffff:127.0.0.1]:1"] {
            assert!(warnings(Some(address(loopback)), address(loopback)).is_empty());
        }
    }
}
