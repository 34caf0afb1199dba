//! Work that is handed out.

use async_trait::async_trait;

use crate::StateError;

/// A job that fell to the ground this often is handed out no more.
pub const MOST_FAILURES: u32 = 3;

/// Work that any process of an identity may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Its name.
    pub id: String,
    /// What a worker must have to do it.
    pub kind: String,
    /// What is to be done.
    pub spec: String,
    /// What came of it, once it is done.
    pub result: Option<String>,
    /// Who does it or did it; none where nobody has begun, or whoever has it stopped renewing.
    pub worker: Option<String>,
    /// Times that it was begun.
    pub tries: u32,
    /// Times that a worker said that it could not do it, or fell silent over it.
    pub failures: u32,
    /// What was said last of why it could not be done.
    pub error: Option<String>,
}

impl Job {
    /// Whether it is handed out no more though nobody has done it.
    pub fn is_given_up(&self) -> bool {
        self.result.is_none() && self.worker.is_none() && self.failures >= MOST_FAILURES
    }
}

/// The right to do a job until it expires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The job's name.
    pub id: String,
    /// What is to be done.
    pub spec: String,
    /// Which beginning of the job this is: an older lease of it counts for nothing.
    pub tries: u32,
}

/// A process that takes jobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Worker {
    /// Its name.
    pub name: String,
    /// Kinds of the jobs that it does.
    pub kinds: Vec<String>,
}

/// Jobs. The writer puts them up and takes them down; any process that has opened the store does them. Leases run by the
/// database's clock.
#[async_trait]
pub trait Jobs: Send + Sync {
    /// Puts a job up. One of that name, done or not, stays as it is.
    ///
    /// # Errors
    /// The database fails; this process is not its writer.
    async fn offer(&self, id: &str, kind: &str, spec: &str) -> Result<(), StateError>;

    /// The oldest job of these kinds that nobody is at and that was not given up, for this many seconds.
    ///
    /// # Errors
    /// The database fails.
    async fn lease(
        &self,
        worker: &str,
        kinds: &[String],
        seconds: u32,
    ) -> Result<Option<Lease>, StateError>;

    /// Holds on to a job for this many seconds from now. False where it was done or given to somebody else.
    ///
    /// # Errors
    /// The database fails.
    async fn renew(&self, lease: &Lease, seconds: u32) -> Result<bool, StateError>;

    /// Notes what came of a job. False where it was done or given to somebody else: this result is not wanted.
    ///
    /// # Errors
    /// The database fails.
    async fn finish(&self, lease: &Lease, result: &str) -> Result<bool, StateError>;

    /// Gives a job back that cannot be done here, which counts against it. False as for [`Jobs::finish`].
    ///
    /// # Errors
    /// The database fails.
    async fn fail(&self, lease: &Lease, why: &str) -> Result<bool, StateError>;

    /// Gives a job back whose worker ends, which says nothing about it. False as for [`Jobs::finish`].
    ///
    /// # Errors
    /// The database fails.
    async fn release(&self, lease: &Lease) -> Result<bool, StateError>;

    /// A job by its name.
    ///
    /// # Errors
    /// The database fails.
    async fn job(&self, id: &str) -> Result<Option<Job>, StateError>;

    /// All jobs, the oldest first.
    ///
    /// # Errors
    /// The database fails.
    async fn jobs(&self) -> Result<Vec<Job>, StateError>;

    /// Takes a job down, done or not.
    ///
    /// # Errors
    /// The database fails; this process is not its writer.
    async fn forget(&self, id: &str) -> Result<(), StateError>;

    /// Says that a worker is there for jobs of these kinds, for this many seconds.
    ///
    /// # Errors
    /// The database fails.
    async fn appear(&self, worker: &str, kinds: &[String], seconds: u32) -> Result<(), StateError>;

    /// Who is there.
    ///
    /// # Errors
    /// The database fails.
    async fn workers(&self) -> Result<Vec<Worker>, StateError>;
}
