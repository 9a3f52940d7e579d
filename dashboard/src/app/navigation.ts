import {
  IconHistory,
  IconLayoutDashboard,
  IconListSearch,
  IconPlugConnected,
  IconRobot,
  IconUser,
} from "@tabler/icons-react";
import { words } from "@/strings/app";

/** The pages that one goes to from anywhere; `key` is pressed after `g`. */
export const PLACES = [
  { to: "/", label: words.places.overview, icon: IconLayoutDashboard, key: "o" },
  { to: "/agents", label: words.places.agents, icon: IconRobot, key: "a" },
  { to: "/audit", label: words.places.audit, icon: IconListSearch, key: "l" },
  { to: "/connectors", label: words.places.connectors, icon: IconPlugConnected, key: "c" },
  { to: "/changes", label: words.places.changes, icon: IconHistory, key: "h" },
  { to: "/account", label: words.places.account, icon: IconUser, key: "u" },
] as const;
