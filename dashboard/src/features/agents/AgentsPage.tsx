import { Anchor, Badge, Button, Group } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link } from "react-router";
import { type Agent, agentsQuery } from "@/api/agents";
import { words } from "@/strings/agents";
import { Ago } from "@/ui/Ago";
import { type Column, DataTable } from "@/ui/DataTable";
import { EmptyState } from "@/ui/EmptyState";
import { Choice, FilterBar, Search } from "@/ui/FilterBar";
import { Loaded } from "@/ui/Loaded";
import { PageHeader } from "@/ui/PageHeader";
import { Pager } from "@/ui/Pager";
import { useAddress } from "@/ui/useAddress";
import { asked, DEFAULTS, isFiltered, PAGE } from "./asked";
import { StatusBadge } from "./StatusBadge";

const COLUMNS: Column<Agent>[] = [
  {
    key: "name",
    title: words.name,
    sortable: true,
    cell: (agent) => (
      <Anchor component={Link} to={`/agents/${agent.id}`} className="wraps" fz="inherit">
        {agent.name}
      </Anchor>
    ),
  },
  {
    key: "status",
    title: words.status,
    sortable: true,
    cell: (agent) => <StatusBadge status={agent.status} />,
  },
  { key: "role", title: words.role, cell: (agent) => words.roles[agent.role] },
  {
    key: "trust",
    title: words.trust,
    wide: true,
    cell: (agent) => words.trustModes[agent.trustMode],
  },
  {
    key: "services",
    title: words.services,
    wide: true,
    end: true,
    cell: (agent) => agent.services.length,
  },
  {
    key: "tags",
    title: words.tags,
    wide: true,
    cell: (agent) => (
      <Group gap={4}>
        {agent.tags.map((tag) => (
          <Badge key={tag} component={Link} to={`/agents?tag=${encodeURIComponent(tag)}`} {...TAG}>
            {tag}
          </Badge>
        ))}
      </Group>
    ),
  },
  {
    key: "createdAt",
    title: words.created,
    sortable: true,
    wide: true,
    cell: (agent) => <Ago at={agent.createdAt} />,
  },
];
const TAG = { variant: "default", size: "sm", tt: "none", style: { cursor: "pointer" } } as const;

/** The agents that one owns or is a member of. */
export function AgentsPage() {
  const [state, change] = useAddress(DEFAULTS);
  const query = useQuery(agentsQuery(asked(state)));
  const create = (
    <Button component={Link} to="/agents/new">
      {words.create}
    </Button>
  );
  return (
    <>
      <PageHeader title={words.title} action={create} />
      <FilterBar>
        <Search
          label={words.search}
          value={state.search}
          onChange={(search) => change({ search, offset: "0" })}
        />
        <Choice
          label={words.status}
          value={state.status}
          options={words.statuses}
          onChange={(status) => change({ status, offset: "0" })}
        />
        <Choice
          label={words.role}
          value={state.role}
          options={words.roles}
          onChange={(role) => change({ role, offset: "0" })}
        />
        {state.tag !== "" && (
          <Button variant="default" size="sm" onClick={() => change({ tag: "", offset: "0" })}>
            {words.withoutTag(state.tag)}
          </Button>
        )}
      </FilterBar>
      <Loaded query={query}>
        {(page) =>
          page.items.length === 0 ? (
            <Nothing filtered={isFiltered(state)} onClear={() => change(DEFAULTS)} />
          ) : (
            <>
              <DataTable
                label={words.title}
                columns={COLUMNS}
                rows={page.items}
                rowKey={(agent) => agent.id}
                sort={{ by: state.sortBy, dir: state.sortDir === "asc" ? "asc" : "desc" }}
                onSort={({ by, dir }) => change({ sortBy: by, sortDir: dir, offset: "0" })}
                stale={query.isPlaceholderData}
              />
              <Pager
                offset={Number(state.offset)}
                limit={PAGE}
                total={page.total ?? page.items.length}
                onOffset={(offset) => change({ offset: String(offset) })}
              />
            </>
          )
        }
      </Loaded>
    </>
  );
}

function Nothing({ filtered, onClear }: { filtered: boolean; onClear: () => void }) {
  if (filtered) {
    return (
      <EmptyState
        title={words.noneMatch}
        action={
          <Button variant="default" onClick={onClear}>
            {words.clear}
          </Button>
        }
      >
        {words.noneMatchHow}
      </EmptyState>
    );
  }
  return (
    <EmptyState
      title={words.none}
      action={
        <Button component={Link} to="/agents/new">
          {words.create}
        </Button>
      }
    >
      {words.noneHow}
    </EmptyState>
  );
}
