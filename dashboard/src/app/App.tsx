import { localStorageColorSchemeManager, MantineProvider } from "@mantine/core";
import { Notifications } from "@mantine/notifications";
import { QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "react-router";
import { nonce } from "@/ui/nonce";
import { theme } from "@/ui/theme";
import { client } from "./client";
import { router } from "./router";

// The same key as in `public/theme.js`, which reads it before the first paint.
const schemes = localStorageColorSchemeManager({ key: "mantine-color-scheme-value" });

/** Everything that is the same on every page. */
export function App() {
  return (
    <MantineProvider
      theme={theme}
      defaultColorScheme="auto"
      colorSchemeManager={schemes}
      getStyleNonce={() => nonce}
    >
      <QueryClientProvider client={client}>
        <RouterProvider router={router} />
        <Notifications position="bottom-right" />
      </QueryClientProvider>
    </MantineProvider>
  );
}
