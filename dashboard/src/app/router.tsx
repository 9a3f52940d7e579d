import { createBrowserRouter, type RouteObject } from "react-router";
import { Broken, Later, NotFound } from "./Broken";
import { Shell } from "./Shell";

/**
 * Every address. A page is loaded when it is first visited; its first segment is known to the server too
 * (`PAGES` in `src/wicket/api/dashboard.py`; a test compares).
 */
const routes: RouteObject[] = [
  {
    path: "/sign-in",
    errorElement: <Broken />,
    hydrateFallbackElement: <div />,
    lazy: async () => ({ Component: (await import("@/features/sign-in/SignInPage")).SignInPage }),
  },
  {
    element: <Shell />,
    errorElement: <Broken />,
    hydrateFallbackElement: <div />,
    children: [
      {
        errorElement: <Broken />,
        children: [
          { path: "/", element: <Later /> },
          {
            path: "/agents",
            lazy: async () => ({
              Component: (await import("@/features/agents/AgentsPage")).AgentsPage,
            }),
          },
          {
            path: "/agents/new",
            lazy: async () => ({
              Component: (await import("@/features/agents/NewAgentPage")).NewAgentPage,
            }),
          },
          {
            path: "/agents/:agentId",
            lazy: async () => ({
              Component: (await import("@/features/agents/AgentPage")).AgentPage,
            }),
            children: [
              {
                index: true,
                lazy: async () => ({
                  Component: (await import("@/features/agents/AgentOverview")).AgentOverview,
                }),
              },
              { path: "policies", element: <Later /> },
              { path: "members", element: <Later /> },
              { path: "connectors", element: <Later /> },
              { path: "audit", element: <Later /> },
              { path: "sessions", element: <Later /> },
              {
                path: "settings",
                lazy: async () => ({
                  Component: (await import("@/features/agents/AgentSettings")).AgentSettingsTab,
                }),
              },
            ],
          },
          { path: "/audit", element: <Later /> },
          { path: "/connectors", element: <Later /> },
          { path: "/changes", element: <Later /> },
          { path: "/account", element: <Later /> },
          { path: "*", element: <NotFound /> },
        ],
      },
    ],
  },
];

export const router = createBrowserRouter(routes);
