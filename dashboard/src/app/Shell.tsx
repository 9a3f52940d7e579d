import {
  ActionIcon,
  Alert,
  AppShell,
  Burger,
  Group,
  Kbd,
  NavLink,
  Tooltip,
  UnstyledButton,
} from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { spotlight } from "@mantine/spotlight";
import { IconCloudOff, IconKeyboard, IconSearch } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useEffect, useRef } from "react";
import { Link, Navigate, Outlet, useLocation } from "react-router";
import { isWhole, sessionQuery } from "@/api/session";
import { words } from "@/strings/app";
import { Loaded } from "@/ui/Loaded";
import { AccountMenu } from "./AccountMenu";
import { useReachable } from "./client";
import { PLACES } from "./navigation";
import { Palette } from "./Palette";
import classes from "./Shell.module.css";
import { Shortcuts } from "./Shortcuts";

/** The frame of every page but sign-in; who may not see it is sent there, and back afterwards. */
export function Shell() {
  const { pathname, search } = useLocation();
  const session = useQuery(sessionQuery);
  return (
    <Loaded query={session}>
      {(status) =>
        isWhole(status) ? (
          <Frame />
        ) : (
          <Navigate to={`/sign-in?to=${encodeURIComponent(pathname + search)}`} replace />
        )
      }
    </Loaded>
  );
}

function Frame() {
  const [opened, { toggle, close }] = useDisclosure();
  const [helping, help] = useDisclosure();
  const { pathname } = useLocation();
  const main = useRef<HTMLElement>(null);
  const before = useRef(pathname);
  useEffect(() => {
    close();
    // Who reads by ear or by keyboard begins where the new page does.
    if (before.current !== pathname) main.current?.focus({ preventScroll: true });
    before.current = pathname;
  }, [pathname, close]);
  return (
    <AppShell
      header={{ height: 48 }}
      navbar={{ width: 192, breakpoint: "sm", collapsed: { mobile: !opened } }}
      padding={{ base: "sm", sm: "lg" }}
    >
      <a className="skip" href="#main">
        {words.skip}
      </a>
      <AppShell.Header>
        <Group h="100%" px="md" gap="sm" wrap="nowrap">
          <Burger
            opened={opened}
            onClick={toggle}
            hiddenFrom="sm"
            size="sm"
            aria-label={words.menu}
            aria-expanded={opened}
          />
          <Link to="/" className={classes.brand}>
            <img src="/favicon.svg" alt="" width={20} height={20} />
            Wicket
          </Link>
          <UnstyledButton
            className={classes.find}
            onClick={spotlight.open}
            aria-label={`${words.palette} ${words.paletteKeys}`}
            aria-keyshortcuts="Control+K"
          >
            <IconSearch size={15} aria-hidden />
            <span className={classes.findWords}>{words.palette}</span>{" "}
            <Kbd size="xs" className={classes.findWords}>
              {words.paletteKeys}
            </Kbd>
          </UnstyledButton>
          <Tooltip label={words.shortcuts}>
            <ActionIcon
              variant="subtle"
              color="gray"
              aria-label={words.shortcuts}
              onClick={help.open}
              visibleFrom="sm"
            >
              <IconKeyboard size={18} aria-hidden />
            </ActionIcon>
          </Tooltip>
          <AccountMenu />
        </Group>
      </AppShell.Header>
      <AppShell.Navbar p="xs" aria-label={words.navigation}>
        {PLACES.map(({ to, label, icon: Icon }) => (
          <NavLink
            key={to}
            component={Link}
            to={to}
            label={label}
            leftSection={<Icon size={17} aria-hidden />}
            active={isUnder(pathname, to)}
            aria-current={isUnder(pathname, to) ? "page" : undefined}
          />
        ))}
      </AppShell.Navbar>
      <AppShell.Main id="main" ref={main} tabIndex={-1} className={classes.main}>
        <Unreachable />
        <Outlet />
      </AppShell.Main>
      <Shortcuts opened={helping} onOpen={help.open} onClose={help.close} />
      <Palette />
    </AppShell>
  );
}

/** Said while the server does not answer: what stands on the page may be old. */
function Unreachable() {
  if (useReachable()) return null;
  return (
    <Alert role="status" color="gray" variant="outline" mb="md" icon={<IconCloudOff aria-hidden />}>
      {words.unreachable}
    </Alert>
  );
}

function isUnder(pathname: string, to: string): boolean {
  return to === "/" ? pathname === "/" : pathname === to || pathname.startsWith(`${to}/`);
}
