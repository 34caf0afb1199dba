// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {System} from "./interfaces/System.sol";

/// @notice Confirms that the contracts of a deployment name each other. Deployed once beside them; reads only.
contract WiringCheck {
    error WiringMismatch(bytes32 what, address expected, address found);

    function check(System calldata s) external view {
        _same("vault.parameters", s.parameters, _read(s.vault, "parameters()"));
        _same("vault.market", s.market, _read(s.vault, "market()"));
        _same("vault.court", s.court, _read(s.vault, "court()"));
        _same("vault.audits", s.audits, _read(s.vault, "audits()"));
        _same("vault.traps", s.traps, _read(s.vault, "traps()"));
        _same("pool.parameters", s.parameters, _read(s.pool, "parameters()"));
        _same("pool.vault", s.vault, _read(s.pool, "vault()"));
        _same("market.parameters", s.parameters, _read(s.market, "parameters()"));
        _same("market.vault", s.vault, _read(s.market, "vault()"));
        _same("market.pool", s.pool, _read(s.market, "pool()"));
        _same("market.court", s.court, _read(s.market, "court()"));
        _same("market.audits", s.audits, _read(s.market, "audits()"));
        _same("market.beacon", s.beacon, _read(s.market, "beacon()"));
        _same("court.market", s.market, _read(s.court, "market()"));
        _same("court.traps", s.traps, _read(s.court, "traps()"));
        _same("audits.market", s.market, _read(s.audits, "market()"));
        _same("audits.court", s.court, _read(s.audits, "court()"));
        _same("traps.vault", s.vault, _read(s.traps, "vault()"));
        _same("traps.market", s.market, _read(s.traps, "market()"));
        _same("traps.court", s.court, _read(s.traps, "court()"));
        _same("traps.audits", s.audits, _read(s.traps, "audits()"));
    }

    function _read(address from, string memory signature) private view returns (address) {
        (bool done, bytes memory data) = from.staticcall(abi.encodeWithSignature(signature));
        return done && data.length == 32 ? abi.decode(data, (address)) : address(0);
    }

    function _same(bytes32 what, address expected, address found) private pure {
        if (expected != found) revert WiringMismatch(what, expected, found);
    }
}
