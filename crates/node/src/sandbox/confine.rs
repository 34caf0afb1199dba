//! The walls: resource limits, Landlock for files, seccomp for everything else. They hold for the rest of the process.

use std::collections::BTreeMap;
use std::io;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, Scope, path_beneath_rules,
};
use rustix::process::{Resource, Rlimit, setrlimit};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};

use super::worker::WorkerOptions;

/// `prctl` that gives a process its auxiliary vector.
const PR_GET_AUXV: u64 = 0x4155_5856;
/// Open files: the pipes and the model's.
const MOST_FILES: u64 = 256;

pub(super) fn confine(options: &WorkerOptions) -> io::Result<()> {
    let both = |most| Rlimit {
        current: Some(most),
        maximum: Some(most),
    };
    setrlimit(Resource::As, both(options.memory))?;
    setrlimit(Resource::Core, both(0))?;
    setrlimit(Resource::Fsize, both(0))?;
    setrlimit(Resource::Nofile, both(MOST_FILES))?;
    files(options).map_err(io::Error::other)?;
    let program = filter().map_err(io::Error::other)?;
    seccompiler::apply_filter_all_threads(&program).map_err(io::Error::other)
}

/// Only reading, and only the model's files. A kernel without Landlock is refused: nothing else here keeps keys unread.
fn files(options: &WorkerOptions) -> Result<(), landlock::RulesetError> {
    let newest = ABI::V6;
    let rules = path_beneath_rules(&options.readable, AccessFs::from_read(newest));
    Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(ABI::V1))?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(newest))?
        .handle_access(AccessNet::from_all(newest))?
        .scope(Scope::from_all(newest))?
        .create()?
        .add_rules(rules)?
        .restrict_self()?;
    Ok(())
}

/// What a program does that computes: memory, threads, its pipes, reading. All else does not exist here, which is what
/// the C library takes as a reason to do without.
fn filter() -> Result<BpfProgram, seccompiler::BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for call in CALLS {
        rules.insert(*call, Vec::new());
    }
    // a thread, never a process; that is told from the flags, which clone3 hides in memory
    let threads = SeccompCondition::new(
        0,
        SeccompCmpArgLen::Qword,
        SeccompCmpOp::MaskedEq(libc::CLONE_THREAD as u64),
        libc::CLONE_THREAD as u64,
    )?;
    rules.insert(libc::SYS_clone, vec![SeccompRule::new(vec![threads])?]);
    // the name of a thread, the name of a map, and where the kernel's own library is
    let options = [
        libc::PR_SET_NAME as u64,
        libc::PR_SET_VMA as u64,
        PR_GET_AUXV,
    ];
    rules.insert(libc::SYS_prctl, one_of(0, &options)?);
    // flags and copies of descriptors; not whom they signal
    let commands = [
        libc::F_GETFD as u64,
        libc::F_SETFD as u64,
        libc::F_GETFL as u64,
        libc::F_DUPFD_CLOEXEC as u64,
    ];
    rules.insert(libc::SYS_fcntl, one_of(1, &commands)?);
    // itself, which is how it aborts
    let own = [u64::from(std::process::id())];
    rules.insert(libc::SYS_tgkill, one_of(0, &own)?);
    let absent = SeccompAction::Errno(libc::ENOSYS as u32);
    let arch = std::env::consts::ARCH.try_into()?;
    SeccompFilter::new(rules, absent, SeccompAction::Allow, arch)?.try_into()
}

/// A call whose argument is one of these.
fn one_of(argument: u8, values: &[u64]) -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    let rule = |value: &u64| {
        let (length, is) = (SeccompCmpArgLen::Dword, SeccompCmpOp::Eq);
        SeccompRule::new(vec![SeccompCondition::new(argument, length, is, *value)?])
    };
    values.iter().map(rule).collect()
}

/// Tries both ways to signal another process. `None`: neither call exists here.
pub(super) fn signals(process: u32) -> Option<String> {
    let absent = || io::Error::last_os_error().raw_os_error() == Some(libc::ENOSYS);
    // SAFETY: numbers go in; signal 0 only asks whether another could be sent.
    let sent = unsafe { libc::syscall(libc::SYS_tgkill, process, process, 0) };
    if sent == 0 || !absent() {
        return Some("a signal".to_owned());
    }
    // SAFETY: numbers go in; standard input is a pipe, which signals nobody before it is told to.
    let owned = unsafe { libc::syscall(libc::SYS_fcntl, 0, libc::F_SETOWN, process) };
    (owned == 0 || !absent()).then(|| "a descriptor that signals".to_owned())
}

const CALLS: &[i64] = &[
    libc::SYS_brk,
    libc::SYS_clock_getres,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_close,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_faccessat,
    libc::SYS_fstat,
    libc::SYS_futex,
    libc::SYS_getcpu,
    libc::SYS_getcwd,
    libc::SYS_getdents64,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_gettid,
    libc::SYS_gettimeofday,
    libc::SYS_lseek,
    libc::SYS_madvise,
    libc::SYS_membarrier,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_nanosleep,
    libc::SYS_newfstatat,
    libc::SYS_openat,
    libc::SYS_pread64,
    libc::SYS_read,
    libc::SYS_readlinkat,
    libc::SYS_readv,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_setaffinity,
    libc::SYS_sched_yield,
    libc::SYS_set_robust_list,
    libc::SYS_sigaltstack,
    libc::SYS_statx,
    libc::SYS_sysinfo,
    libc::SYS_uname,
    libc::SYS_write,
    libc::SYS_writev,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_access,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_arch_prctl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_open,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_readlink,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_stat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_lstat,
];
