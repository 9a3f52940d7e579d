import { ActionIcon, Menu, useMantineColorScheme } from "@mantine/core";
import { IconCheck, IconLogout, IconUserCircle } from "@tabler/icons-react";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "react-router";
import { answer, api } from "@/api/client";
import { useEmail } from "@/api/session";
import { words } from "@/strings/app";

const SCHEMES = ["light", "dark", "auto"] as const;

/** Who is signed in, how it looks, and the way out. */
export function AccountMenu() {
  const { colorScheme, setColorScheme } = useMantineColorScheme();
  const email = useEmail();
  const client = useQueryClient();
  const navigate = useNavigate();
  const signOut = useMutation({
    mutationFn: () => answer(api.POST("/api/auth/logout")),
    onSuccess: () => {
      // Nothing of one account is left for the next.
      client.clear();
      navigate("/sign-in");
    },
  });
  return (
    <Menu position="bottom-end" width={220}>
      <Menu.Target>
        <ActionIcon variant="subtle" color="gray" size="lg" aria-label={words.accountMenu}>
          <IconUserCircle size={20} aria-hidden />
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Label className="wraps">{email}</Menu.Label>
        <Menu.Divider />
        <Menu.Label>{words.appearance}</Menu.Label>
        {SCHEMES.map((scheme) => (
          <Menu.Item
            key={scheme}
            role="menuitemradio"
            aria-checked={scheme === colorScheme}
            onClick={() => setColorScheme(scheme)}
            rightSection={scheme === colorScheme && <IconCheck size={14} aria-hidden />}
          >
            {words.schemes[scheme]}
          </Menu.Item>
        ))}
        <Menu.Divider />
        <Menu.Item
          leftSection={<IconLogout size={15} aria-hidden />}
          disabled={signOut.isPending}
          onClick={() => signOut.mutate()}
        >
          {words.signOut}
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}
