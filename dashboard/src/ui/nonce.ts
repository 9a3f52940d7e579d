/** The nonce of this page's policy: styles that libraries make carry it (`src/wicket/api/dashboard.py`). */
export const nonce =
  document.querySelector<HTMLMetaElement>('meta[property="csp-nonce"]')?.nonce ?? "";

// Where `get-nonce` looks, by which Mantine's dialogs keep the page behind them still.
Object.assign(globalThis, { __webpack_nonce__: nonce });
