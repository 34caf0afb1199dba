//! Typed bindings of the committed contract ABIs. The generator emits the structs that several
//! contracts share once for each contract: `Market::TaskSpec`, `StakeVault::Provider`.
//!
//! [`Market`], [`StakeVault`] and [`ProviderPool`] are the concrete contracts, supersets of their
//! interfaces; court and audits are bound by interface. `ICourt::Dispute` is in parts here
//! (`dissection`, `level1`, `level2`, `isolated`, `ruling`), with the same encoding. Custom errors are decoded by
//! [`revert`](crate::revert), from the ABIs of all artifacts.
#![allow(missing_docs, clippy::too_many_arguments)]

mod states;

pub use states::{
    AppealOutcome, AppealPhase, AuditState, DisputeState, Side, TaskState, UnknownState,
};

alloy::sol!(
    #[sol(rpc, all_derives)]
    Market,
    "../../contracts/artifacts/Market.json"
);
alloy::sol!(
    #[sol(rpc, all_derives)]
    StakeVault,
    "../../contracts/artifacts/StakeVault.json"
);
alloy::sol!(
    #[sol(rpc, all_derives)]
    ProviderPool,
    "../../contracts/artifacts/ProviderPool.json"
);
alloy::sol!(
    #[sol(rpc, all_derives)]
    ICourt,
    concat!(env!("OUT_DIR"), "/ICourt.json")
);
alloy::sol!(
    #[sol(rpc, all_derives)]
    IAudits,
    "../../contracts/artifacts/IAudits.json"
);
alloy::sol!(
    #[sol(rpc, all_derives)]
    IAppealLevels,
    "../../contracts/artifacts/IAppealLevels.json"
);
alloy::sol!(
    #[sol(rpc, all_derives)]
    IDemands,
    "../../contracts/artifacts/IDemands.json"
);
alloy::sol!(
    #[sol(rpc, all_derives)]
    ITraps,
    "../../contracts/artifacts/ITraps.json"
);
alloy::sol!(
    #[sol(rpc, all_derives)]
    Parameters,
    "../../contracts/artifacts/Parameters.json"
);
alloy::sol!(
    #[sol(rpc, all_derives)]
    DevBeacon,
    "../../contracts/artifacts/DevBeacon.json"
);
alloy::sol!(
    #[sol(rpc, all_derives)]
    DrandBeacon,
    "../../contracts/artifacts/DrandBeacon.json"
);
alloy::sol!(
    #[sol(rpc, all_derives)]
    CommitRevealBeacon,
    "../../contracts/artifacts/CommitRevealBeacon.json"
);
alloy::sol!(
    #[sol(rpc, all_derives)]
    FallbackBeacon,
    "../../contracts/artifacts/FallbackBeacon.json"
);
alloy::sol!(
    #[sol(rpc, all_derives)]
    IBeacon,
    "../../contracts/artifacts/IBeacon.json"
);
alloy::sol!(
    #[sol(rpc, all_derives)]
    DevToken,
    "../../contracts/artifacts/DevToken.json"
);
alloy::sol!(
    #[sol(all_derives)]
    StepMachine,
    "../../contracts/artifacts/StepMachine.json"
);
alloy::sol!(
    #[sol(rpc, all_derives)]
    GovernanceTimelock,
    "../../contracts/artifacts/GovernanceTimelock.json"
);
alloy::sol!(
    #[sol(rpc, all_derives)]
    WiringCheck,
    "../../contracts/artifacts/WiringCheck.json"
);
