import { NavLink } from "react-router";
import classes from "./TabLinks.module.css";

interface Props {
  label: string;
  tabs: readonly { to: string; label: string; end?: boolean }[];
}

/** The sides of a thing, each with an address: links, since that is what they are. */
export function TabLinks({ label, tabs }: Props) {
  return (
    <nav aria-label={label} className={classes.tabs}>
      {tabs.map((tab) => (
        <NavLink key={tab.to} to={tab.to} end={tab.end} className={classes.tab}>
          {tab.label}
        </NavLink>
      ))}
    </nav>
  );
}
