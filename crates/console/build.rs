//! Builds again when the web app has changed: it is embedded.
fn main() {
    println!("cargo:rerun-if-changed=../../web/dist");
}
