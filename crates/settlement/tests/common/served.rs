//! A durable chain behind HTTP that can be killed and started again on its folder and port.

use std::fs::OpenOptions;
use std::future::pending;
use std::io::Write as _;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use gavel_settlement::chain::Genesis;
use gavel_settlement::{SharedChain, http};
use tokio::runtime::{Builder, Runtime};

pub(crate) struct Served {
    folder: tempfile::TempDir,
    port: u16,
    running: Mutex<Option<Runtime>>,
}

impl Served {
    pub(crate) fn start() -> Arc<Served> {
        let folder = tempfile::tempdir().unwrap();
        let (runtime, port) = launched(&folder, 0);
        Arc::new(Served {
            folder,
            port,
            running: Mutex::new(Some(runtime)),
        })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Stops wherever it is, in the middle of a write even. Blocks.
    pub(crate) fn kill(&self) {
        let runtime = self.running.lock().unwrap().take();
        if let Some(runtime) = runtime {
            runtime.shutdown_timeout(Duration::from_secs(60));
        }
        let journal = self.folder.path().join("chain.journal");
        let mut file = OpenOptions::new().append(true).open(journal).unwrap();
        // the beginning of a record of 512 bytes
        file.write_all(&[0, 2, 0, 0, 1, 2, 3, 4, b'{', b'"'])
            .unwrap();
    }

    /// Blocks.
    pub(crate) fn restart(&self) {
        self.kill();
        let (runtime, port) = launched(&self.folder, self.port);
        assert_eq!(port, self.port);
        *self.running.lock().unwrap() = Some(runtime);
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // a runtime must not be waited for on a thread of another
        if let Some(runtime) = self.running.lock().unwrap().take() {
            runtime.shutdown_background();
        }
    }
}

fn launched(folder: &tempfile::TempDir, port: u16) -> (Runtime, u16) {
    let path = folder.path().to_owned();
    let launch = move || {
        let mut builder = Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).enable_all().build().unwrap();
        let chain = SharedChain::open(&path, Genesis::default()).unwrap();
        let server = runtime.block_on(http::Server::bind(chain, port)).unwrap();
        let port = server.address().unwrap().port();
        runtime.spawn(server.serve(pending()));
        (runtime, port)
    };
    thread::spawn(launch).join().unwrap()
}
