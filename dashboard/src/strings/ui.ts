export const words = {
  failed: "This could not be loaded",
  retry: "Try again",
  cancel: "Cancel",
  close: "Close",
  allowed: "Allowed",
  denied: "Denied",
  copied: "Copied",
  copy: (what: string) => `Copy ${what}`,
  typeToConfirm: (text: string) => `Type “${text}” to confirm`,
  range: (first: number, last: number, total: number) => `${first}–${last} of ${total}`,
  previous: "Previous",
  next: "Next",
};
