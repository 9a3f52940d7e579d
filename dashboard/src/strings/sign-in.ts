export const words = {
  title: "Sign in to Wicket",
  email: "E-mail address",
  whoMay: (signup: string) => {
    if (signup === "open") return "Any address can sign in here.";
    if (signup.startsWith("domain:"))
      return `Addresses of ${signup.slice(7)} can sign in here, and who was invited.`;
    return "Only addresses with an account or an invitation get a code.";
  },
  sendCode: "Send a code",
  noMail: "No mail? Who runs this instance can make a link with",
  sent: (email: string, minutes: number) =>
    `If ${email} may sign in here, a code is on its way. It works once, within ${minutes} minutes.`,
  mailCode: "Code from the mail",
  signIn: "Sign in",
  otherAddress: "Use another address, or send a new code",
  byLink: "This link signs you in, once, in this browser.",
  signInByLink: "Sign in",
  byCodeInstead: "Sign in with a code instead",
  factorFor: (email: string) => `One more step for ${email}.`,
  totp: "Six digits from your authenticator",
  backupCode: "Backup code",
  useBackup: "Use a backup code",
  useAuthenticator: "Use the authenticator",
  continue: "Continue",
  enrol:
    "This instance asks for a second factor. Scan this with an authenticator app, then type the six digits it shows.",
  qr: "QR code of the secret below",
  secret: "Or type this:",
  theSecret: "the secret",
  setUp: "Set up second factor",
  backupCodes:
    "Keep these backup codes somewhere safe. Each works once when the authenticator is not at hand; they are not shown again.",
  copyAll: "Copy all",
  theCodes: "the backup codes",
  saved: "I have kept them",
};
