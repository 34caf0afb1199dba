//! What the asset calls itself, asked of its contract.

use gavel_settlement::Network;
use gavel_settlement::amount::DECIMALS;

/// What the unit of an asset without a name is called.
pub(crate) const UNNAMED: &str = "tokens";

/// Name and unit of the asset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asset {
    pub(crate) symbol: String,
    pub(crate) decimals: u32,
}

impl Asset {
    /// A token need not say either (ERC-20 has both as options).
    pub(crate) async fn read(network: &Network) -> Asset {
        let token = network.token();
        let symbol = token.symbol().call().await;
        let decimals = token.decimals().call().await;
        Asset {
            symbol: symbol.unwrap_or_else(|_| UNNAMED.to_owned()),
            decimals: decimals.map_or(DECIMALS, u32::from),
        }
    }
}
