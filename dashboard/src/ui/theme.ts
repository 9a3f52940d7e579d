import { createTheme } from "@mantine/core";
import { words } from "@/strings/ui";

/** What every dialog needs: its cross has a name, and what is above its text is not the head of the page. */
const dialog = {
  closeButtonProps: { "aria-label": words.close },
  attributes: { header: { role: "presentation" } },
};

/** One accent; red and green are for decisions alone. Dense: a page is read by who works with it all day. */
export const theme = createTheme({
  primaryColor: "blue",
  primaryShade: 8,
  defaultRadius: "sm",
  cursorType: "pointer",
  respectReducedMotion: true,
  fontFamily: 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif',
  fontFamilyMonospace:
    'ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono", monospace',
  fontSizes: { xs: "12px", sm: "13px", md: "14px", lg: "16px", xl: "18px" },
  headings: {
    fontWeight: "600",
    sizes: { h1: { fontSize: "20px" }, h2: { fontSize: "16px" }, h3: { fontSize: "14px" } },
  },
  components: {
    Button: { defaultProps: { size: "xs" } },
    TextInput: { defaultProps: { size: "sm" } },
    Modal: { defaultProps: { centered: true, ...dialog } },
    Drawer: { defaultProps: dialog },
    Tooltip: { defaultProps: { openDelay: 300, withArrow: true } },
  },
});
