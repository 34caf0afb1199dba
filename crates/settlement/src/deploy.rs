//! Putting the whole system on a chain.

use alloy::primitives::{Address, B256, Bytes, U256};
use alloy::providers::Provider as _;
use alloy::sol_types::{SolCall as _, SolValue};

use gavel_numerics::program::TABLE_ROOT;

use crate::account::{SendError, Sender};
use crate::artifacts::{ArtifactError, bytecode};
use crate::bindings::{Parameters::Params, WiringCheck};
use crate::deployment::Deployment;
use crate::dev_params::UNIT;
use crate::drand::DrandNetwork;
use crate::network::NetworkError;
use crate::unchecked;

/// Version of the arithmetic of the models that this program serves.
pub const NUMERICS_VERSION: u32 = 1;

/// Where draws come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum BeaconChoice {
    /// `DevBeacon`: whoever makes the blocks can choose its values.
    #[default]
    Development,
    /// `DrandBeacon`, verified on chain by the precompiles of EIP-2537.
    Drand {
        /// Who signs, and when.
        network: Box<DrandNetwork>,
        /// Seconds by which a block's time may lag behind the network's clock.
        drift: u64,
    },
    /// `CommitRevealBeacon`: secrets of those who put up a bond. Round 1 is when it is deployed.
    CommitReveal(CommitRevealChoice),
    /// `FallbackBeacon`: drand, and a commit-reveal beacon of its own for the rounds that drand does not have in time.
    Fallback {
        /// Who signs, and when.
        network: Box<DrandNetwork>,
        /// Seconds by which a block's time may lag behind the network's clock.
        drift: u64,
        /// Seconds after a round's time in which drand's value counts.
        slack: u64,
        /// What comes after them.
        other: CommitRevealChoice,
    },
}

/// The numbers of a commit-reveal beacon, fixed for its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitRevealChoice {
    /// Seconds of a round: so long before its time one commits, so long after it one reveals.
    pub period: u64,
    /// Commitments below which a round comes to nothing.
    pub quorum: u32,
    /// What withholding a secret costs, in units of the asset.
    pub bond: u128,
}

/// What a deployment may choose beside the parameters.
#[derive(Clone, Debug)]
pub struct DeployOptions {
    /// Where draws come from.
    pub beacon: BeaconChoice,
    /// Seconds between the rounds of the development beacon.
    pub beacon_period: u64,
    /// Units of the development token, minted to the deployer.
    pub supply: U256,
    /// Seconds that a change of parameters waits in public.
    pub timelock_delay: u64,
    /// Who may pause new tasks; the deployer where absent.
    pub guardian: Option<Address>,
    /// For tests of the rest: plain accounts in the places of court and audits.
    pub stand_ins: Option<(Address, Address)>,
    /// For simulations of what the constructor's checks prevent: parameters are taken as they are.
    pub unchecked: bool,
}

impl Default for DeployOptions {
    fn default() -> Self {
        DeployOptions {
            beacon: BeaconChoice::default(),
            beacon_period: 3,
            supply: U256::from(1_000_000_000u64) * U256::from(UNIT),
            timelock_delay: 86_400,
            guardian: None,
            stand_ins: None,
            unchecked: false,
        }
    }
}

/// Why a deployment failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeployError {
    /// A contract that is not among the artifacts.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// A contract could not be created.
    #[error("{contract}: {source}")]
    Create {
        /// Which.
        contract: &'static str,
        /// Why.
        source: SendError,
    },
    /// A contract got another address than the others were told: the key was used meanwhile.
    #[error("{contract} is at {found}, the other contracts expect it at {expected}")]
    Moved {
        /// Which.
        contract: &'static str,
        /// Where the others look.
        expected: Address,
        /// Where it is.
        found: Address,
    },
    /// The contracts do not name each other.
    #[error("the contracts' wiring is wrong: {0}")]
    Wiring(String),
    /// The chain cannot be asked.
    #[error(transparent)]
    Network(#[from] NetworkError),
}

/// The contracts' `System`, in its order.
type System = (
    Address,
    Address,
    Address,
    Address,
    Address,
    Address,
    Address,
    Address,
);

/// Deploys token, timelock, step machine, appeal levels, parameters (which name the appeal levels), beacon, vault, pool, market, traps, court, audits and demands, in this order and with a key that
/// nothing else uses meanwhile, and confirms the wiring of those that must name each other.
///
/// # Errors
/// A contract is missing or refuses its arguments (parameters that break a rule, say), or the chain cannot be reached.
pub async fn deploy(
    deployer: &Sender,
    params: &Params,
    options: &DeployOptions,
) -> Result<Deployment, DeployError> {
    let chain_id = deployer.endpoint().chain_id().await?;
    let deploy_block = deployer.endpoint().head().await?.number;
    let me = deployer.address();
    let arguments = (me, options.supply).abi_encode_params();
    let token = create(deployer, "DevToken", arguments).await?;
    let delay = U256::from(options.timelock_delay);
    let arguments = (delay, vec![me], vec![me]).abi_encode_params();
    let timelock = create(deployer, "GovernanceTimelock", arguments).await?;
    let machine = create(deployer, "StepMachine", Vec::new()).await?;
    let tables = (vec![NUMERICS_VERSION], vec![B256::from(TABLE_ROOT)]);
    let arguments = (machine, tables.0, tables.1).abi_encode_params();
    let appeal_levels = create(deployer, "AppealLevels", arguments).await?;
    let guardian = options.guardian.unwrap_or(me);
    let mut params = params.clone();
    params.court.appealLevels = appeal_levels;
    let parameters = match options.unchecked {
        true => {
            let code = unchecked::creation_code(timelock, guardian, &params).await?;
            created(deployer, "Parameters", code).await?
        }
        false => {
            let arguments = (timelock, guardian, params).abi_encode_params();
            create(deployer, "Parameters", arguments).await?
        }
    };
    let beacon = match &options.beacon {
        BeaconChoice::Development => {
            let arguments = (options.beacon_period,).abi_encode_params();
            create(deployer, "DevBeacon", arguments).await?
        }
        BeaconChoice::Drand { network, drift } => {
            let times = (network.genesis, network.period, *drift);
            let arguments = (network.words(), times.0, times.1, times.2).abi_encode_params();
            create(deployer, "DrandBeacon", arguments).await?
        }
        BeaconChoice::CommitReveal(choice) => commit_reveal(deployer, token, choice).await?,
        BeaconChoice::Fallback {
            network,
            drift,
            slack,
            other,
        } => {
            let other = commit_reveal(deployer, token, other).await?;
            let times = (network.genesis, network.period, *drift);
            let arguments = (network.words(), times.0, times.1, times.2, other, *slack);
            create(deployer, "FallbackBeacon", arguments.abi_encode_params()).await?
        }
    };

    let nonce = nonce(deployer).await?;
    let (vault, pool, market) = (me.create(nonce), me.create(nonce + 1), me.create(nonce + 2));
    let traps = me.create(nonce + 3);
    let (court, audits) = options
        .stand_ins
        .unwrap_or((me.create(nonce + 4), me.create(nonce + 5)));
    let system: System = (
        parameters, beacon, vault, pool, market, court, audits, traps,
    );
    let wired = system.abi_encode_params();
    let with_token = [token.abi_encode(), wired.clone()].concat();
    expect(deployer, "StakeVault", with_token, vault).await?;
    expect(deployer, "ProviderPool", wired.clone(), pool).await?;
    expect(deployer, "Market", wired.clone(), market).await?;
    expect(deployer, "Traps", wired.clone(), traps).await?;
    if options.stand_ins.is_none() {
        expect(deployer, "Court", wired.clone(), court).await?;
        expect(deployer, "Audits", wired, audits).await?;
        check_wiring(deployer, system).await?;
    }
    // it finds vault and parameters through the market
    let demands = create(deployer, "Demands", market.abi_encode()).await?;
    Ok(Deployment {
        chain_id,
        deploy_block,
        numerics_version: NUMERICS_VERSION,
        token,
        timelock,
        parameters,
        beacon,
        vault,
        pool,
        market,
        court,
        audits,
        appeal_levels,
        demands,
        traps,
    })
}

/// A commit-reveal beacon whose first round is now.
async fn commit_reveal(
    deployer: &Sender,
    token: Address,
    choice: &CommitRevealChoice,
) -> Result<Address, DeployError> {
    let genesis = deployer.endpoint().head().await?.time;
    let numbers = (choice.bond, choice.quorum, genesis, choice.period);
    let arguments = (token, numbers.0, numbers.1, numbers.2, numbers.3).abi_encode_params();
    create(deployer, "CommitRevealBeacon", arguments).await
}

async fn nonce(deployer: &Sender) -> Result<u64, DeployError> {
    let provider = deployer.endpoint().provider();
    let nonce = provider
        .get_transaction_count(deployer.address())
        .pending()
        .await
        .map_err(NetworkError::from)?;
    Ok(nonce)
}

async fn create(
    deployer: &Sender,
    contract: &'static str,
    arguments: Vec<u8>,
) -> Result<Address, DeployError> {
    let code: Bytes = [&bytecode(contract)?[..], &arguments].concat().into();
    created(deployer, contract, code).await
}

async fn created(
    deployer: &Sender,
    contract: &'static str,
    code: Bytes,
) -> Result<Address, DeployError> {
    let failed = |source| DeployError::Create { contract, source };
    let mined = deployer.create(code).await.map_err(failed)?;
    mined
        .created
        .ok_or_else(|| failed(SendError::Refused("nothing was created".into())))
}

async fn expect(
    deployer: &Sender,
    contract: &'static str,
    arguments: Vec<u8>,
    expected: Address,
) -> Result<(), DeployError> {
    let found = create(deployer, contract, arguments).await?;
    if found != expected {
        return Err(DeployError::Moved {
            contract,
            expected,
            found,
        });
    }
    Ok(())
}

async fn check_wiring(deployer: &Sender, system: System) -> Result<(), DeployError> {
    let (parameters, beacon, vault, pool, market, court, audits, traps) = system;
    let at = create(deployer, "WiringCheck", Vec::new()).await?;
    let call = WiringCheck::checkCall {
        s: WiringCheck::System {
            parameters,
            beacon,
            vault,
            pool,
            market,
            court,
            audits,
            traps,
        },
    };
    // it only reads; as a transaction its verdict is on the chain, and a revert comes decoded
    match deployer.send(at, call.abi_encode().into()).await {
        Ok(_) => Ok(()),
        Err(SendError::Reverted { error, .. }) => Err(DeployError::Wiring(error)),
        Err(source) => Err(DeployError::Create {
            contract: "WiringCheck",
            source,
        }),
    }
}
