import { Drawer } from "@mantine/core";
import type { ReactNode } from "react";

interface Props {
  opened: boolean;
  onClose: () => void;
  title: string;
  children: ReactNode;
}

/** The details of a row, beside the list they are of. Which row is part of the page's address. */
export function DetailDrawer({ opened, onClose, title, children }: Props) {
  return (
    <Drawer opened={opened} onClose={onClose} title={title} position="right" size="lg">
      {children}
    </Drawer>
  );
}
