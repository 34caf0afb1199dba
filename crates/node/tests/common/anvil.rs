//! anvil behind its URL, where `GAVEL_ANVIL` names the binary.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

/// A node that ends with the test.
pub(crate) struct Anvil(Child);

impl Drop for Anvil {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a node on a free port of loopback; says that the test is skipped where there is no binary.
pub(crate) fn start() -> Option<(Anvil, String)> {
    let Some(binary) = std::env::var_os("GAVEL_ANVIL") else {
        println!("skipped: GAVEL_ANVIL names no anvil");
        return None;
    };
    let mut child = Command::new(binary)
        .args(["--host", "127.0.0.1", "--port", "0", "--chain-id", "31337"])
        .stdout(Stdio::piped())
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let anvil = Anvil(child);
    let mut line = String::new();
    while stdout.read_line(&mut line).unwrap() > 0 {
        if let Some((_, address)) = line.split_once("Listening on ") {
            let url = format!("http://{}", address.trim());
            // whatever else it says must not fill the pipe
            std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
            return Some((anvil, url));
        }
        line.clear();
    }
    panic!("anvil never listened");
}
