import { type DashboardOptions, startDashboard } from '../mock/dashboard.mts';

// The server of `npm run bench`: the mock Dashboard, in a process of its own so that it does not wait for
// the one that measures. A request to it takes 0.04 ms longer than to a server that does nothing else.
process.once('message', async (options: DashboardOptions) => {
  const { url } = await startDashboard(options);
  process.send?.(new URL(url).port);
});

// Not to outlive the bench, however that ends.
process.once('disconnect', () => process.exit());
